docker create --name box busybox sh -c 'cat /tmp/x; cat /in/a/b'
echo 'there and back' > x; mkdir -p in/a; echo deep > in/a/b
docker cp x box:/tmp/x
docker cp in box:/
docker cp box:/tmp/x out; cat out
docker cp box:/in - | tar t
tar c x | docker cp - box:/home
docker cp box:/home/x - | tar xO
# may differ: its engine knows it by its id
docker cp box:/nothing .
docker cp nothing box:/ 2>/dev/null
# may differ: its engine knows it by its id
docker cp x box:/no/such/place/x
# may differ: a client that is answered while it still sends may say that it could not send all
docker cp x nobody:/
docker cp -a box:/in copy; find copy | sort
docker cp -L box:/bin/sh shell; test -s shell
docker start -a box
docker diff box | grep -v '/tmp$' | sort
docker export box | tar t | grep ^in/ | sort
docker export -o all.tar box; tar tf all.tar | grep ^in/ | sort
docker export nobody
docker commit -m why -a me -c 'CMD ["cat", "/tmp/x"]' box kept:1
docker run --rm kept:1
docker history --format '{{.CreatedBy}} {{.Comment}}' kept:1 | head -1
docker commit nobody kept:2
# differs: an image made of a container keeps the labels that said whose it was
docker inspect kept:1
docker image inspect -f '{{.Author}} {{.Config.Cmd}} {{.RepoTags}}' kept:1
cat all.tar | docker import -c 'CMD ["echo", "brought"]' - brought:1
docker run --rm brought:1
docker tag kept:1 kept:again
docker tag nothing kept:2
docker tag kept:1 BAD:1
docker images kept --format '{{.Repository}}:{{.Tag}}'
docker images -q kept | uniq
docker images --filter reference='kept:*' --filter dangling=false --format '{{.Tag}}'
docker save kept:1 kept:again | tar t | grep -c json
docker save -o saved.tar kept:1 brought:1
docker save nothing:1 > /dev/null 2>&1
docker rmi kept:1 | sort -u
docker rmi kept:1 | sort -u
docker rmi kept:again brought:1 | sort -u
docker load -i saved.tar
docker load -q < saved.tar
docker load < x
docker run --rm kept:1
docker create --name holds kept:1
docker rmi kept:1 | sort -u
# may differ: the image goes from hosts where no container needs it
docker rmi -f kept:1 | sort -u
docker rm box holds
docker rmi brought:1 | sort -u
