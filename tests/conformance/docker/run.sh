docker run --rm busybox echo hello
docker run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
docker run --rm busybox nosuchcommand
docker run --rm busybox /etc
docker run --rm --nosuchflag busybox
docker run --rm nothing/like:this true 2>&1 | head -1
echo abc | docker run -i --rm busybox wc -c
head -c 3000000 /dev/zero | docker run -i --rm busybox md5sum
docker run --rm busybox sh -c 'head -c 3000000 /dev/zero' | md5sum
script -qec 'docker run -it --rm busybox tty' /dev/null
script -qec 'stty rows 33 cols 99; docker run -it --rm busybox sh -c "sleep 1; stty size"' /dev/null
(sleep 1.5; printf '\020\021'; sleep 0.5) | script -qec 'docker run -it --name left busybox sh' /dev/null | tail -1
docker inspect -f '{{.State.Running}}' left
docker rm -f left
docker run -d --name life -e A=b -l who=me -w /tmp -u 1:1 --hostname box --memory 64m --memory-swap 64m busybox sleep 1000
docker run -d --name life busybox true
docker exec life sh -c 'echo $A; pwd; id -u; hostname'
docker exec life sh -c 'exit 3'
docker exec life nosuchcommand
docker exec -e B=c -w / -u 0 life sh -c 'echo $B; pwd; id -u'
echo through | docker exec -i life cat
script -qec 'docker exec -it life tty' /dev/null
docker exec -d life sh -c 'sleep 0.1'
docker exec nobody true
docker ps --filter name=life --format '{{.Names}} {{.Image}} {{.Command}} {{.Labels}} {{.Status}}'
docker ps --filter name=life --no-trunc
docker ps -q --filter name=life
docker ps -a --filter label=who=me --format '{{.Names}}'
docker ps --filter nonsense=x
# differs: the host a container is on, and its short id as an alias on the environment's own network
docker inspect life
docker inspect -s -f '{{.SizeRw}}' life
docker inspect -f '{{.Name}} {{.Path}} {{.Args}} {{.Config.Hostname}} {{.HostConfig.Memory}} {{.Config.Labels}}' life
docker inspect nobody
docker container inspect nobody
docker top life | awk 'NR > 1 {$2 = $3 = $4 = ""} 1'
docker top life -o pid,comm | tail -1 | tr -d '0-9'
docker diff life
docker stats --no-stream --format '{{.Name}} {{.CPUPerc}}' life
timeout -k 1 10 docker stats --format '{{.Name}}' life | head -1
docker stats --no-stream nobody
docker pause life
docker pause life
# differs: its engine knows it by its id
docker exec life true
docker ps --filter name=life --format '{{.Status}}'
docker unpause life
docker update --memory 128m --memory-swap 128m --restart on-failure:2 life
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy}}' life
docker update --restart no life
docker rename life death
docker rename nobody somebody
docker logs life
docker restart -t 0 death
docker rm death
docker kill -s USR9 death
docker kill death
# differs: its engine knows it by its id
docker kill death
docker wait death
docker ps -a --filter name=death --format '{{.Names}} {{.Status}}'
docker start death
docker start death
docker stop -t 0 death
docker stop -t 0 death
docker start nobody
docker rm death
docker rm -f nobody
docker rm nobody
