docker plugin ls
docker plugin inspect nothing
docker stack deploy -c /dev/null name
# all differ: what to use instead is said
docker swarm init
docker swarm leave
docker swarm join-token worker
docker node ls
docker node inspect self
docker service ls
docker service create busybox
docker service ps nothing
docker secret ls
docker secret inspect nothing
docker config ls
docker stack ls
docker plugin install --grant-all-permissions nothing/like-this
docker plugin disable nothing
docker plugin rm nothing
