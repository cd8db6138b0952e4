docker version --format '{{.Server.Os}} {{.Server.Arch}} {{.Client.APIVersion}}'
# differs: Paddock names itself before the engine's parts, and says which versions of the API it speaks
docker version
docker info --format '{{.OSType}} {{.Driver}} {{.Swarm.LocalNodeState}} {{.ContainersRunning}} {{.CgroupDriver}}'
# differs: each host has lines of its own
docker info --format '{{json .}}'
docker system df --format '{{.Type}}'
docker system df | head -1
docker system df -v | grep -c space
docker run --name over busybox true
docker container prune -f --filter label=none=such
docker container prune -f | head -2
docker ps -aq
docker run --name over busybox true
docker system prune -f --filter label=none=such
docker system prune -f > /dev/null; docker ps -aq
docker ps -n 1 -q
docker ps -l --format '{{.Names}}'
docker images --filter nonsense=x
docker inspect --type image busybox
docker inspect --type volume nothing
# differs: what to use instead is said
docker inspect --type task nothing
docker history busybox
docker history nothing
docker nonsense 2>&1 | head -1
docker checkpoint ls nobody
