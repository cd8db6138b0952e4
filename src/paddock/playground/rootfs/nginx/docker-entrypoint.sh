#!/bin/sh
# As in the image of this name on Docker Hub: NGINX_LOCAL_RESOLVERS is offered, and /etc/nginx/templates/X.template becomes
# /etc/nginx/conf.d/X with ${NAME} of the environment filled in.
set -e
if [ "${1:-}" = nginx ]; then
    if [ -n "${NGINX_ENTRYPOINT_LOCAL_RESOLVERS:-}" ]; then
        NGINX_LOCAL_RESOLVERS=$(awk '$1 == "nameserver" { print ($2 ~ /:/) ? "[" $2 "]" : $2 }' /etc/resolv.conf | tr '\n' ' ')
        export NGINX_LOCAL_RESOLVERS="${NGINX_LOCAL_RESOLVERS% }"
    fi
    for template in /etc/nginx/templates/*.template; do
        [ -f "$template" ] || continue
        name=${template##*/}
        awk '{
            out = ""
            while (match($0, /\$\{[A-Za-z_][A-Za-z0-9_]*\}/)) {
                key = substr($0, RSTART + 2, RLENGTH - 3)
                out = out substr($0, 1, RSTART - 1) ((key in ENVIRON) ? ENVIRON[key] : substr($0, RSTART, RLENGTH))
                $0 = substr($0, RSTART + RLENGTH)
            }
            print out $0
        }' "$template" > "/etc/nginx/conf.d/${name%.template}"
    done
fi
exec "$@"
