# Becomes a host's first process. Runs in fresh mount, uts, ipc, net and pid namespaces, as the parent of pid 1.
# HOST: the host's folder. NAME: its host name. Arguments: pairs of what is bound where.
# Prints pid 1's id on the machine, then "ready" from within when the host stands.
set -eu
(
    mount -t proc proc /proc
    hostname "$NAME"
    ip link set lo up
    # A fresh /sys shows this host's links; the cgroup tree is carried over into it.
    mount --rbind /sys/fs/cgroup "$HOST/cgroup"
    mount -t sysfs sysfs /sys
    mount --rbind "$HOST/cgroup" /sys/fs/cgroup
    umount -R "$HOST/cgroup"
    mount -t tmpfs -o mode=1777 shm /dev/shm
    while [ $# -gt 0 ]; do
        mount --bind "$1" "$2"
        shift 2
    done
    # Last, so that nothing above travels back: containers may ask for shared mounts.
    mount --make-rshared /
    cd /
    echo ready
    # An orderly stop asks every process to end: this one stays to the last.
    trap '' TERM
    exec docker-init -- sleep infinity >/dev/null 2>&1 </dev/null
) &
echo $!
