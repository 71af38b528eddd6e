#!/usr/bin/env bash
# netns_hosts.sh: N "hosts" as network namespaces on one bridge, all inside this machine. Needs root and iproute2.
#   netns_hosts.sh up N              hosts h1..hN, addresses $NETNS_NET.1..N/24; each knows the others by name
#   netns_hosts.sh down              ends what runs in them and removes all of it
#   netns_hosts.sh run hK CMD...     runs a command on host K
#   netns_hosts.sh drop hA hB        packets between these two hosts vanish on the bridge: no error, no carrier loss
#   netns_hosts.sh undrop hA hB      ... and pass again; one pair at a time
# NETNS_PFX (at most 8 letters and digits) keeps several sets apart; NETNS_NET is their network.
set -euo pipefail
PFX=${NETNS_PFX:-st}; NET=${NETNS_NET:-10.231.77}; BR=${PFX}br0

port() { [[ $1 =~ ^h([0-9]+)$ ]] || { echo "host must be hN: $1" >&2; exit 2; }; echo "${PFX}v${BASH_REMATCH[1]}"; }

# ports that are both isolated do not hear each other; everybody else hears them
isolated() { for host in "$2" "$3"; do ip link set dev "$(port "$host")" type bridge_slave isolated "$1"; done; }

case "${1:-}" in
up)
    n=${2:?number of hosts}; "$0" down
    ip link add "$BR" type bridge forward_delay 0 stp_state 0
    ip addr add "$NET.254/24" dev "$BR"; ip link set "$BR" up
    for i in $(seq 1 "$n"); do
        ip netns add "${PFX}h$i"
        ip -n "${PFX}h$i" link set lo up
        ip link add "${PFX}v$i" type veth peer name eth0 netns "${PFX}h$i"
        ip link set "${PFX}v$i" master "$BR" up
        ip -n "${PFX}h$i" addr add "$NET.$i/24" dev eth0
        ip -n "${PFX}h$i" link set eth0 up
        # a file of its own for /etc/hosts in `ip netns exec`
        mkdir -p "/etc/netns/${PFX}h$i"
        { echo "127.0.0.1 localhost"; for k in $(seq 1 "$n"); do echo "$NET.$k h$k"; done; } >"/etc/netns/${PFX}h$i/hosts"
    done ;;
down)
    for x in $(ip netns list 2>/dev/null | awk '{print $1}' | grep -E "^${PFX}h[0-9]+$" || true); do
        for p in $(ip netns pids "$x"); do kill -KILL "$p" 2>/dev/null || true; done
        ip netns del "$x"; rm -rf "/etc/netns/$x"
    done
    rmdir /etc/netns 2>/dev/null || true
    # the root side of a veth goes with its namespace, but not at once
    for l in $(ip -o link show 2>/dev/null | grep -oE " ${PFX}v[0-9]+[@:]" | tr -d " @:" || true); do
        ip link del "$l" 2>/dev/null || true
    done
    ip link del "$BR" 2>/dev/null || true ;;
run) host=$2; port "$host" >/dev/null; shift 2; exec ip netns exec "$PFX$host" "$@" ;;
drop) isolated on "$2" "$3" ;;
undrop) isolated off "$2" "$3" ;;
*) sed -n 2,8p "$0"; exit 2 ;;
esac
