#!/bin/sh
# Writes lab.yaml beside this script: base.yaml and N clients, which differ in their id only; and
# prometheus/targets.yaml: where the server's and the clients' metrics are.
#
#   generate.sh N        N: 0 to 1021: the lab's network is a Linux bridge, which has 1023
#                        ports; the server and netcat's container take one each
#
# Environment, all optional:
#   LAPSE                the clients' loop_lapse, instead of that in config/client.ini; 0: until
#                        they are stopped
#   PUBLISH=[ADDRESS:]PORT   the server can be reached at this port of this machine; by default
#                        of its loopback address only
#   OBSERVE=1            a Prometheus in the lab; =[ADDRESS:]PORT: published there, too
#   SERVER_IMAGE         somebody else's server: its own health check counts, if it has one, and
#                        nobody asks it for metrics
# Exit: 0 written; 2 a value is wrong; 1 lab.yaml cannot be written. After a failure an older
# lab.yaml is as it was.
set -eu

here=$(dirname "$0")
n=${1-}
bridge_ports=1023
most=$((bridge_ports - 2))

refuse()
{
    echo "compose: N='$n' is $1; allowed: a whole number from 0 to $most" >&2
    exit 2
}

case $n in
'' | *[!0-9]* | 0?*) refuse wrong ;;
esac
if [ "${#n}" -gt 4 ] || [ "$n" -gt "$most" ]; then
    refuse "too many: a bridge has $bridge_ports ports, and the server and netcat need one each"
fi

# A duration as the client takes it.
is_lapse() # TEXT
{
    printf '%s\n' "$1" | LC_ALL=C awk '
        BEGIN { split("h 3600 m 60 s 1 ms .001 us .000001 ns .000000001", unit); for (i = 1; i < 12; i += 2) seconds[unit[i]] = unit[i + 1] }
        NR == 1 && $0 == "0" { good = 1; next }
        {
            good = NR == 1
            sum = 0
            for (rest = $0; good && rest != ""; rest = substr(rest, RLENGTH + 1)) {
                good = match(rest, /^[0-9]+(\.[0-9]+)?(h|ms|m|us|s|ns)/)
                number = name = substr(rest, 1, RLENGTH)
                sub(/[a-z]+/, "", number)
                sub(/[0-9.]+/, "", name)
                sum += number * seconds[name]
            }
            good = good && $0 != "" && sum <= 8760 * 3600
        }
        END { exit !good }'
}

# 1 to 65535?
is_port() # TEXT
{
    case $1 in '' | *[!0-9]* | 0* | ??????*) return 1 ;; esac
    [ "$1" -le 65535 ]
}

# Four numbers up to 255?
is_ipv4() # TEXT
{
    printf '%s\n' "$1" | awk -F . '
        { good = NR == 1 && NF == 4; for (i = 1; i <= NF; i++) if ($i !~ /^(0|[1-9][0-9]?[0-9]?)$/ || $i > 255) good = 0 }
        END { exit !good }'
}

# Prints what Compose publishes: ADDRESS:PORT:INSIDE.
published() # NAME VALUE INSIDE [ALSO]
{
    case $2 in
    *:*) address=${2%:*} ;;
    *) address=127.0.0.1 ;;
    esac
    port=${2##*:}
    if ! is_port "$port" || ! is_ipv4 "$address"; then
        echo "compose: $1='$2' is wrong; allowed: ${4-}a port from 1 to 65535, with an IPv4 address of this machine before it or without, like 12345 or 127.0.0.1:12345" >&2
        exit 2
    fi
    echo "$address:$port:$3"
}

# The value of a key in config/NAME.ini, the last one if there are several.
configured() # NAME KEY
{
    sed -n "s/^ *$2 *= *\([^ ;]*\).*/\1/p" "$here/../config/$1.ini" | tail -n 1
}

if [ -n "${LAPSE-}" ] && ! is_lapse "$LAPSE"; then
    echo "compose: LAPSE='$LAPSE' is wrong; allowed: a duration from 0 (until stopped) to 8760h, like 30s or 1m2s" >&2
    exit 2
fi
publish=
if [ -n "${PUBLISH-}" ]; then
    inside=$(configured server port)
    publish=$(published PUBLISH "$PUBLISH" "${inside:-12345}") || exit
    if ! is_port "${inside:-12345}"; then
        echo "compose: PUBLISH needs to know the server's port, and config/server.ini says '$inside'; allowed: 1 to 65535" >&2
        exit 2
    fi
fi
observe=
case ${OBSERVE-} in
'' | 0 | 1) ;;
*) observe=$(published OBSERVE "$OBSERVE" 9090 "1, or ") || exit ;;
esac

# The services of base.yaml, as PUBLISH, OBSERVE and SERVER_IMAGE change them. A network without a
# way out publishes nothing, so who is published gets a second one, without translation of its address.
base()
{
    awk -v publish="$publish" -v observe="$observe" -v is_foreign="${SERVER_IMAGE:+1}" '
        function add_port(port) {
            if (port == "") return
            print "    ports: [\"" port "\"]"
            print "    networks: [lab, published]"
        }
        is_foreign && /^    healthcheck:/ { is_check = 1; next }
        is_check && /^      / { next }
        { is_check = 0 }
        is_foreign { sub(/service_healthy/, "service_started") }
        { print }
        publish observe != "" && /^networks:/ {
            print "  published:"
            print "    driver_opts: {com.docker.network.bridge.enable_ip_masquerade: \"false\"}"
        }
        /^  server:/ { add_port(publish) }
        /^  prometheus:/ { add_port(observe) }' "$here/base.yaml"
}

clients()
{
    i=1
    while [ "$i" -le "$n" ]; do
        printf '\n  client%d:\n    <<: *client\n    environment: {CLI_ID: "%d"%s}\n' "$i" "$i" "${LAPSE:+, CLI_LOOP_LAPSE: \"$LAPSE\"}"
        i=$((i + 1))
    done
}

# The port of the admin address; nothing where there is none.
admin_port() # server | client
{
    address=$(configured "$1" admin_address)
    if is_port "${address##*:}"; then echo "${address##*:}"; fi
}

# For Prometheus: whose metrics there are, by name and port.
targets()
{
    server_port=$(admin_port server)
    [ -z "${SERVER_IMAGE-}" ] || server_port=
    client_port=$(admin_port client)
    echo "# Written by generate.sh. Do not edit."
    echo "- labels: {job: echo-server}"
    echo "  targets: [${server_port:+\"server:$server_port\"}]"
    [ -n "$client_port" ] && [ "$n" -gt 0 ] || return 0
    echo "- labels: {job: echo-client}"
    echo "  targets:"
    i=1
    while [ "$i" -le "$n" ]; do
        echo "    - \"client$i:$client_port\""
        i=$((i + 1))
    done
}

s=; [ "$n" -eq 1 ] || s=s
new=
new_targets=
trap 'trap "" HUP INT TERM; [ -z "$new" ] || rm -f "$new" "$new_targets"' EXIT
trap 'exit 1' HUP INT TERM
new=$(mktemp "$here/.lab.XXXXXX")
new_targets=$(mktemp "$here/prometheus/.targets.XXXXXX")
{
    echo "# Written by generate.sh from base.yaml: the server and $n client$s. Do not edit."
    base
    clients
} >"$new"
targets >"$new_targets"
chmod 644 "$new" "$new_targets"
mv "$new_targets" "$here/prometheus/targets.yaml"
mv "$new" "$here/lab.yaml"
echo "compose/lab.yaml: server and $n client$s"
