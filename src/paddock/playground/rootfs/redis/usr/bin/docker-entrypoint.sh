#!/bin/sh
# As in the image of this name on Docker Hub: a bare option or file means the server, which takes connections of others.
set -e
case "${1:-}" in
    -*) set -- redis-server --protected-mode no "$@" ;;
    *.conf) file=$1; shift; set -- redis-server "$file" --protected-mode no "$@" ;;
    redis-server)
        shift
        case "${1:-}" in
            *.conf) file=$1; shift; set -- redis-server "$file" --protected-mode no "$@" ;;
            *) set -- redis-server --protected-mode no "$@" ;;
        esac
        ;;
esac
exec "$@"
