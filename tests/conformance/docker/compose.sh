cp -r $APP/. .
$COMPOSE config --services
$COMPOSE build -q 2> /dev/null
$COMPOSE up -d --scale worker=3 2> /dev/null
$COMPOSE ps -q | wc -l
docker ps --filter label=com.docker.compose.project=app --format '{{.Names}} {{.Image}} {{.Command}}' | tr _ - | sort
docker network ls --filter label=com.docker.compose.project=app --format '{{.Name}} {{.Driver}}' | sort
docker volume ls --filter label=kind=volume --format '{{.Name}}'
docker inspect -f '{{range $key, $value := .Config.Labels}}{{$key}} {{end}}' $($COMPOSE ps -q web) | tr ' ' '\n' | grep -v 'depends_on\|image\|replace'
docker inspect -f '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{end}}' $($COMPOSE ps -q web)
$COMPOSE up -d --scale worker=3 2>&1 | grep -ci recreat
$COMPOSE exec -T web cat /www/index.html /www/store
$COMPOSE exec -T --index 3 worker wget -qO- http://web/
$COMPOSE exec -T worker sh -c 'exit 4' 2> /dev/null
$COMPOSE exec -T -e A=b -w /tmp web sh -c 'echo $A $GREETING; pwd'
echo through | $COMPOSE exec -T web cat
script -qec "$COMPOSE exec web tty" /dev/null
$COMPOSE exec -T worker nslookup worker | grep -c '^Address.*: 1.*\.'
$COMPOSE logs --no-color worker | tr _ - | sed 's/^app-//; s/ *|/ |/' | grep '|' | sort
$COMPOSE logs --no-color --tail 1 -t web | grep -c started
$COMPOSE port web 80 | sed 's/.*://'
$COMPOSE top | grep -c 'httpd'
$COMPOSE images 2> /dev/null | grep -c compose-app
$COMPOSE run --rm -T --no-deps web echo once 2> /dev/null
$COMPOSE run --rm -T web wget -qO- http://store/x 2> /dev/null
$COMPOSE run --rm -T web sh -c 'exit 7' 2> /dev/null
$COMPOSE run -d --name task web sleep 1000 2> /dev/null
docker rm -f task
$COMPOSE pause worker 2> /dev/null
docker ps --filter status=paused --format '{{.Names}}' | wc -l
$COMPOSE unpause worker 2> /dev/null
$COMPOSE restart -t 0 web 2> /dev/null
$COMPOSE exec -T web cat /www/index.html
$COMPOSE kill -s USR1 db 2> /dev/null
$COMPOSE stop worker 2> /dev/null
$COMPOSE ps -a | grep -c 'Exit'
$COMPOSE start worker 2> /dev/null
$COMPOSE up -d --scale worker=1 2> /dev/null
$COMPOSE ps -q worker | wc -l
sed -i 's/GREETING: hello/GREETING: changed/' compose.yaml
$COMPOSE up -d 2>&1 | grep -ci 'recreat\|done' > /dev/null
$COMPOSE exec -T web sh -c 'echo $GREETING'
$COMPOSE up -d --force-recreate --no-deps db 2> /dev/null
$COMPOSE exec -T db cat /data/x
$COMPOSE kill worker 2> /dev/null
$COMPOSE rm -f worker > /dev/null 2>&1
$COMPOSE ps -a -q worker | wc -l
(sleep 1; $COMPOSE restart -t 0 web 2> /dev/null) & timeout -k 1 6 $COMPOSE events --json 2> /dev/null | grep -o -m 1 '"action": *"start"' | tr -d ' '; wait
(timeout -k 1 20 $COMPOSE up worker 2> /dev/null | tr _ - | grep -o -m 1 'working'); $COMPOSE stop worker 2> /dev/null
$COMPOSE down --remove-orphans 2> /dev/null
docker volume ls -q --filter label=kind=volume
$COMPOSE down -v 2> /dev/null
docker ps -aq --filter label=com.docker.compose.project=app
docker volume ls -q --filter label=kind=volume
docker network ls -q --filter label=com.docker.compose.project=app
docker rmi compose-app | head -1
