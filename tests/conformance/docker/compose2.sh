cp -r $APP/. .
docker compose up -d --wait --quiet-pull > /dev/null 2>&1
docker compose ps --format '{{.Name}} {{.Service}} {{.State}} {{.Health}}'
docker compose ls --format json | grep -o '"Status":"[^"]*"'
echo sent > sent
docker compose cp sent web:/tmp/sent 2> /dev/null
docker compose exec -T web cat /tmp/sent
docker compose cp web:/www/index.html . 2> /dev/null; cat index.html
docker compose run -d --rm --name brief db sh -c 'sleep 1; exit 3' > /dev/null 2>&1
docker compose run --rm -T --service-ports db echo served 2> /dev/null
docker compose scale worker=2 2> /dev/null
docker compose ps -q worker | wc -l
docker compose stats --no-stream --format '{{.Name}}' | sort
(sleep 1; docker compose kill worker 2> /dev/null) & docker compose wait worker; wait
docker compose create --force-recreate worker 2> /dev/null
docker compose ps -a worker --format '{{.State}}' | uniq
docker compose images web --format json | grep -o '"Repository":"[^"]*"'
docker compose logs --no-log-prefix web
docker compose build --no-cache -q
docker compose push --ignore-push-failures -q > /dev/null 2>&1
docker compose config --hash web | cut -d' ' -f1
docker compose down -v -t 0 2> /dev/null
docker compose ls -q
docker network ls -q --filter label=com.docker.compose.project=app
docker rmi compose-app | head -1
