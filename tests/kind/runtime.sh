#!/bin/sh
# runc for a Docker whose root lacks CAP_SYS_RESOURCE, as in some virtual machines and containers: Docker asks for every
# capability that the kernel knows when a container is privileged, and runc fails where it cannot give one. This takes
# that one out of what runc is told to start, a container's configuration or a further process in it.
previous='' asked=''
for argument in "$@"; do
    case $previous in
    --bundle | -b) asked=$argument/config.json ;;
    --process | -p) asked=$argument ;;
    esac
    previous=$argument
done
if [ -f "$asked" ]; then
    sed -i -e 's/"CAP_SYS_RESOURCE",//g' -e 's/,"CAP_SYS_RESOURCE"\]/]/g' "$asked"
fi
exec runc "$@"
