mkdir -p app; printf 'FROM busybox AS base\nARG WHO=nobody\nRUN echo $WHO > /who\nFROM base AS last\nCOPY file /file\nLABEL a=b\nCMD cat /who /file\n' > app/Dockerfile; echo content > app/file
DOCKER_BUILDKIT=0 docker build -t built:1 --build-arg WHO=me app
docker run --rm built:1
DOCKER_BUILDKIT=0 docker build -q -t built:1 --build-arg WHO=me app
DOCKER_BUILDKIT=0 docker build -t built:base --target base --label x=y app | tail -1
docker image inspect -f '{{.Config.Labels}}' built:base built:1
cat app/Dockerfile | sed '/COPY/d' | DOCKER_BUILDKIT=0 docker build -q -t built:2 -
tar c -C app . | DOCKER_BUILDKIT=0 docker build -q -t built:3 -f Dockerfile -
DOCKER_BUILDKIT=0 docker build -t built:4 -f app/Missing app 2>/dev/null
printf 'FROM busybox\nRUN exit 9\n' | DOCKER_BUILDKIT=0 docker build -
printf 'NONSENSE\n' | DOCKER_BUILDKIT=0 docker build -
printf 'FROM busybox\nCOPY nothing /\n' | DOCKER_BUILDKIT=0 docker build -
DOCKER_BUILDKIT=0 docker build --no-cache --pull=false --iidfile iid -t built:5 app | grep -c 'Running in'
cat iid
DOCKER_BUILDKIT=1 docker build -q -t built:kit --build-arg WHO=kit app
docker run --rm built:kit 2>/dev/null
printf 'FROM busybox\nRUN exit 9\n' | DOCKER_BUILDKIT=1 docker build -q - 2>&1 | grep -c 'exit code: 9'
docker image ls --filter label=a=b --format '{{.Tag}}' built | sort
docker builder prune -f --filter until=1000h
docker image prune -f --filter label=none=such
docker tag built:1 $REGISTRY/deep/app:1
docker push $REGISTRY/deep/app:1 | tail -1
docker push $REGISTRY/deep/none:1
docker rmi $REGISTRY/deep/app:1 | head -1
docker pull $REGISTRY/deep/app:1 | sort -u
docker pull -q $REGISTRY/deep/app:1
docker pull $REGISTRY/deep/none:1
docker pull BAD:1
docker image inspect -f '{{len .RepoDigests}} {{.RepoTags}}' $REGISTRY/deep/app:1
docker rmi $REGISTRY/deep/app:1 | head -1
docker run --rm --pull never $REGISTRY/deep/app:1
docker run --rm $REGISTRY/deep/app:1 2>/dev/null
docker manifest inspect --insecure $REGISTRY/deep/app:1 | grep -c layers
docker search $REGISTRY/x
docker login -u me -p secret $REGISTRY 2>/dev/null
docker login -u me -p secret 127.0.0.1:1
docker logout $REGISTRY
docker rmi -f built:1 built:base built:2 built:3 built:5 built:kit $REGISTRY/deep/app:1 > /dev/null
docker image prune -f > /dev/null
