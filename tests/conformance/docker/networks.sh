docker network create --label a=b --subnet 10.211.0.0/16 blue
docker network create blue
# differs: it is said whose addresses they are
docker network create --subnet 10.211.1.0/24 red
docker network create --internal inside
docker network ls --filter label=a=b
docker network ls --filter name=blue -q
docker network ls --filter name=bridge --format '{{.Name}} {{.Driver}} {{.Scope}}'
docker network inspect blue
docker network inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPAM.Config}} {{.Labels}} {{.Options}}' blue
docker network inspect -f '{{.Internal}}' inside
docker network inspect bridge -f '{{.Driver}}'
docker network inspect nothing
docker run -d --name one --network blue --network-alias first --ip 10.211.9.9 busybox sleep 1000
docker run -d --name two busybox sleep 1000
docker inspect -f '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}} {{end}}' one
docker network connect --alias second blue two
docker network connect blue two
docker network connect nothing two
docker network connect blue nobody
for i in $(seq 50); do docker exec two ping -c 1 -W 1 first > /dev/null && break; sleep 0.2; done; docker exec two ping -c 1 -W 1 first | tail -2 | head -1
docker exec one ping -c 1 -W 1 second | tail -2 | head -1
docker network inspect -f '{{range .Containers}}{{.Name}} {{end}}' blue | tr ' ' '\n' | sort
docker ps --filter network=blue --format '{{.Names}}'
docker network rm blue
docker network disconnect blue two
docker network disconnect blue two
docker network disconnect -f blue one
docker network rm bridge
docker rm -f one two
docker network prune -f --filter label=none=such
docker network prune -f --filter label=a=b
docker network rm blue
docker network rm inside
docker volume create --label a=b kept
docker volume create kept
docker volume rm $(docker volume create)
docker volume ls --filter label=a=b
docker volume ls -q --filter name=kept
docker volume inspect kept
docker volume inspect -f '{{.Name}} {{.Driver}} {{.Labels}} {{.Options}} {{.Scope}}' kept
docker volume inspect nothing
docker run --rm -v kept:/d busybox sh -c 'echo here > /d/x'
docker run --rm -v kept:/d:ro busybox sh -c 'cat /d/x; touch /d/y'
docker run --name mounts --mount type=volume,src=kept,dst=/d --mount type=tmpfs,dst=/t busybox cat /d/x
docker inspect -f '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{println}}{{end}}' mounts | sort
docker run -d --name holds -v kept:/d busybox sleep 1000
docker run --rm --volumes-from holds busybox cat /d/x
docker rm -f holds
docker ps -a --filter volume=kept --format '{{.Names}}'
docker volume rm kept
docker rm -v mounts
docker volume ls -q --filter dangling=true --filter name=kept
docker volume rm kept
docker volume rm kept
docker volume rm -f kept
docker volume prune -f --filter label=none=such
docker run --rm -v /etc/hostname:/h:ro busybox sh -c 'wc -l < /h'
docker run --rm --mount type=bind,src=/no/such/path,dst=/h busybox true
