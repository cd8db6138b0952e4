docker run --name said busybox sh -c 'echo one; echo two; echo three >&2; sleep 0.2; echo four'
docker logs said
docker logs --tail 1 said
docker logs -t --tail 1 said
docker logs --since 2h --until 1h said
docker logs nobody
docker run -d --name counts busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done'
docker logs -f counts
docker wait counts
docker start -a counts
docker create -i --name cats busybox cat
echo hi | docker start -ai cats
docker run -d --name ends busybox sh -c 'sleep 1; echo tick; exit 4'
docker attach ends
docker attach ends
docker run -d -t --name term busybox sh -c 'sleep 1; tty'
docker attach --no-stdin term
docker run -d --name waits busybox sh -c 'trap "exit 5" USR1; while :; do sleep 0.1; done'
docker kill -s USR1 waits
docker wait waits said
(sleep 1.5; docker kill -s TERM signals) & docker run --rm --name signals busybox sh -c 'trap "exit 6" TERM; while :; do sleep 0.1; done'; code=$?; wait; exit $code
docker run -d --name site -p 18099:80 busybox sleep 1000
# differs: a port is shown at the address of the host that has it
docker port site
docker port site 81
# differs: as above
docker port site 80
date +%s > began; docker run -d --name events busybox true
docker wait events
docker events --since "$(cat began)" --until "$(($(date +%s) + 1))" --filter container=events --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}'
# differs: events say on which host it was
docker events --since "$(cat began)" --until "$(($(date +%s) + 1))" --filter container=events --filter event=die --format '{{json .}}'
timeout -k 1 1 docker events --filter container=nobody
docker run -d --name sick --health-cmd false --health-interval 300ms --health-retries 1 busybox sleep 1000
for i in $(seq 50); do docker inspect -f '{{.State.Health.Status}}' sick | grep -q unhealthy && break; sleep 0.2; done
docker ps --filter health=unhealthy --filter name=sick --format '{{.Names}} {{.Status}}'
docker run --rm --read-only --tmpfs /t busybox sh -c 'touch /t/x && touch /x'
docker run --rm --cap-drop ALL --security-opt no-new-privileges --ulimit nofile=99 busybox sh -c 'ulimit -n; chown 1 /tmp'
docker run --rm --init busybox sh -c 'cat /proc/1/comm'
docker run --rm --cidfile cid busybox true
cat cid
docker run --rm --env-file /dev/null --add-host a:1.2.3.4 --dns-search x.y busybox grep 1.2.3.4 /etc/hosts
docker run --rm --network none busybox ip -o link
docker run --rm --network nothing busybox true
docker run --rm --network container:nobody busybox true
docker run --rm --volumes-from nobody busybox true
docker run --rm -m 1m busybox true
docker run --rm --restart always busybox true
docker run --rm -v relative/path:/x busybox true
docker run --rm -p 99999:80 busybox true
docker run --name '/bad name' busybox true
docker rm -f said counts cats ends term waits site events sick
