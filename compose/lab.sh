#!/bin/sh
# Starts, shows, tests and stops the lab of lab.yaml, beside this script.
#
#   lab.sh up            returns when the server is healthy and each client was started; if that
#                        fails, Compose's and the server's last lines are shown; what runs with
#                        another config/*.ini is started anew
#   lab.sh logs          of all containers, in the order of their times
#   lab.sh ps | down
#   lab.sh netcat        checks the echo from inside the lab's network
#   lab.sh metrics       prints the metrics of HOST: server, client1, ...
#   lab.sh load          a load client there; policy | grade: policy.sh, grade.sh
#
# Environment:
#   COMPOSE              the Compose command; default: "docker compose" or docker-compose,
#                        the first that is installed
#   PROJECT              name of the lab; default: echolab
#   FOLLOW=1             logs: go on until it is interrupted
#   HOST PORT MESSAGE TIMEOUT_S   of netcat; MESSAGE_FILE: take the message from a file
#   LOAD                 options of load (echo-client --help); HOST and PORT as for netcat
#   OBSERVE              not empty and not 0: up starts Prometheus, too (generate.sh)
#   FAULT                a broken server in place of the right one (fault.sh)
# Exit: Compose's code, 1 for a lab that is not healthy; of netcat: 0 the echo is exact, 1 it is
# not; of metrics: 0 printed; of load: echo-client's; 2 wrong usage.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
project=${PROJECT:-echolab}
# Compose 1.29 does as many things at once as this says, counts each client as two, and hangs for
# ever where none is left for the second. So clients start in portions, which an engine likes, too.
portion=50
export COMPOSE_PARALLEL_LIMIT=$((2 * portion))
# It gives up on an engine that answers nothing for 60 s, which a small machine reaches with a portion.
export COMPOSE_HTTP_TIMEOUT="${COMPOSE_HTTP_TIMEOUT:-300}"

fail()
{
    echo "lab: $1" >&2
    exit "${2:-1}"
}

find_compose()
{
    if docker compose version >/dev/null 2>&1; then
        echo "docker compose"
    elif command -v docker-compose >/dev/null 2>&1; then
        echo docker-compose
    else
        fail "Compose is missing; install it with: make setup"
    fi
}

not_up()
{
    fail "the lab is not up: make up N=5"
}

compose()
{
    # shellcheck disable=SC2086 # may be two words
    $COMPOSE -p "$project" -f "$here/lab.yaml" "$@"
}

is_observed()
{
    [ -n "${OBSERVE-}" ] && [ "$OBSERVE" != 0 ]
}

# The containers' user is nobody whom this machine knows, so what is mounted must be readable for
# others. A clone has what its umask left.
make_readable()
{
    sed -n 's/.*type: bind, source: \([^,]*\),.*/\1/p' "$here/lab.yaml" | sort -u |
        while read -r file; do
            [ -e "$here/$file" ] || fail "$file is not there, and the lab mounts it"
            [ -n "$(find -L "$here/$file" -prune ! -perm -004)" ] || continue
            chmod o+r "$here/$file" 2>/dev/null ||
                fail "$file is not readable for others, as the containers need it: chmod o+r $file"
            echo "lab: $file is readable for others now, as the containers need it"
        done
}

# Each client and the server know the other's address on the link: two entries of a table that the
# whole kernel shares. Where it overflows, connections time out.
look_at_neighbours()
{
    table=net.ipv4.neigh.default.gc_thresh3
    most=$(cat "/proc/sys/$(echo $table | tr . /)" 2>/dev/null) || return 0
    least=$((2 * clients + 100))
    [ "$most" -ge "$least" ] || [ "$clients" -lt 100 ] ||
        echo "lab: $clients clients may be too many for $table = $most, and time out: sysctl -w $table=$((2 * least))" >&2
}

# ---- up ------------------------------------------------------------------------------------

# The lab's containers, or those that the filters leave: service, id and state, one a line.
containers()
{
    docker ps --filter "label=com.docker.compose.project=$project" \
        --format '{{.Label "com.docker.compose.service"}} {{.ID}} {{.Status}}' "$@" 2>/dev/null
}

# How many clients of this lab.yaml are past Created.
started()
{
    containers -a | awk -v most="$clients" '
        sub(/^client/, "") && $1 <= most && $3 != "Created" { n++ }
        END { print n + 0 }'
}

# How far it is: on a terminal one line that changes, otherwise a line now and then.
count_clients()
{
    before=0
    quiet=0
    while sleep 3 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        now=$(started)
        quiet=$((quiet + 1))
        [ "$now" -gt "$before" ] || [ "$quiet" -ge 3 ] || continue
        before=$now
        quiet=0
        if [ -t 1 ]; then
            printf 'clients started: %d of %d\r' "$now" "$clients"
        else
            echo "clients started: $now of $clients"
        fi
    done
}

# Is it healthy? An image without a check must be up for a second.
serves()
{
    containers | grep -q '^server.*(healthy)' || { [ "$tries" -ge 2 ] && containers | grep -q '^server [^(]*$'; }
}

id_of() # SERVICE
{
    containers | sed -n "s/^$1 \([^ ]*\) .*/\1/p" | sed 1q
}

# Starts Prometheus and waits until it answers: false where it ended, or needs longer than half a minute.
observe()
{
    compose --profile observe up -d --no-deps prometheus || return
    tries=0
    until docker exec "$(id_of prometheus)" promtool query instant http://127.0.0.1:9090 1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 60 ] || [ -z "$(id_of prometheus)" ]; then
            return 1
        fi
        sleep 0.5
    done
}

get_prometheus()
{
    grep -q '"' "$here/prometheus/targets.yaml" ||
        fail "OBSERVE: nothing here has metrics; allowed: an admin_address in config/server.ini or client.ini" 2
    PROMETHEUS_IMAGE=$("$here/../tools/images.sh" prometheus)
    export PROMETHEUS_IMAGE
}

# Waits for the server: false where it ended, is unhealthy or needs longer than a minute.
is_healthy()
{
    tries=0
    until serves; do
        tries=$((tries + 1))
        [ $((tries % 10)) -ne 0 ] || echo "waiting for the server to be healthy: $((tries / 2)) s of 60"
        if [ "$tries" -gt 120 ] || containers -a | grep -qE '^server.*(Exited|\(unhealthy\))'; then
            return 1
        fi
        sleep 0.5
    done
}

start_clients()
{
    i=1
    while [ "$i" -le "$clients" ]; do
        names=
        last=$((i + portion - 1))
        while [ "$i" -le "$last" ] && [ "$i" -le "$clients" ]; do
            names="$names client$i"
            i=$((i + 1))
        done
        # shellcheck disable=SC2086 # names, to be split
        compose up -d --no-deps $names || return
    done
}

# Compose does not see what is in a file that it mounts. So lab.yaml gets its sum as a label, and
# another content is another container.
label()
{
    edits=
    for name in server.ini client.ini prometheus; do
        case $name in
        *.ini) set -- "$here/../config/$name" ;;
        *) set -- "$here/prometheus/prometheus.yaml" "$here/prometheus/rules.yaml" "$here/prometheus/targets.yaml" ;;
        esac
        sum=$(cat "$@" | sha256sum | cut -c 1-16)
        edits="$edits
            s/echolab\\.$name: \"[^\"]*\"/echolab.$name: \"$sum\"/"
    done
    new=$(mktemp "$here/.lab.XXXXXX")
    sed "$edits" "$here/lab.yaml" >"$new"
    chmod 644 "$new"
    mv "$new" "$here/lab.yaml"
    new=
}

# What the configuration of the clients says, if it is not lab.yaml that does.
lapse()
{
    sed -n 's/.*CLI_LOOP_LAPSE: "\(.*\)".*/\1/p' "$here/lab.yaml" | sed 1q
    sed -n 's/^ *loop_lapse *= *\([^ ;]*\).*/\1/p' "$here/../config/client.ini"
    echo 1m2s # the program's own
}

# Where a service is published; nothing if it is not.
published() # SERVICE
{
    sed -n "/^  $1:/,/^\$/s/^    ports: \[\"\(.*\):[0-9]*\"\]\$/\1/p" "$here/lab.yaml"
}

# (A machine reaches its own containers on a network without a way out.)
prometheus_address()
{
    at=$(published prometheus)
    echo "${at:-$(docker inspect -f "{{(index .NetworkSettings.Networks \"${project}_lab\").IPAddress}}" "$(id_of prometheus)"):9090}"
}

# What runs, for how long, and what to type next.
tell()
{
    at=$(published server)
    at=${at:+ (also at $at of this machine)}
    lapse=$(lapse | sed 1q)
    case $lapse in
    *[1-9]*) lapse="for $lapse" ;;
    *) lapse='until stopped' ;;
    esac
    case $clients in
    0) echo "lab: the server$at is up, without clients" ;;
    1) echo "lab: the server$at and 1 client are up; it talks $lapse" ;;
    *) echo "lab: the server$at and $clients clients are up; they talk $lapse" ;;
    esac
    ! is_observed || echo "lab: Prometheus is at http://$(prometheus_address) of this machine"
    echo "next: make logs, make netcat MESSAGE='hola mundo', make down"
}

up()
{
    clients=$(grep -c '^  client[0-9]*:$' "$here/lab.yaml") || clients=0
    make_readable
    look_at_neighbours
    ! is_observed || get_prometheus
    trap clean EXIT
    trap 'exit 1' HUP INT TERM
    label
    log=$(mktemp)
    code=0
    compose up -d --remove-orphans server >"$log" 2>&1 || code=$?
    if [ "$code" -eq 0 ] && is_healthy && { ! is_observed || observe >>"$log" 2>&1; }; then
        count_clients &
        counter=$!
        start_clients >>"$log" 2>&1 || code=$?
        kill -KILL "$counter" || true
        if [ "$code" -eq 0 ]; then
            echo "clients started: $(started) of $clients"
            tell
            return
        fi
    fi
    # But for the lines that tell of each container what went well.
    grep -vE '^[A-Z][a-z]+ing |^ (Container|Network) .*(ing|ed|y) *$' "$log" | sort -u | tail -n 5 >&2
    echo "lab: it did not start; the server's last lines:" >&2
    containers -a | while read -r service id _; do
        case $service in server* | prometheus) docker logs --tail 10 "$id" 2>&1 | sed "s/^/$service: /" >&2 ;; esac
    done
    [ "$code" -ne 0 ] || code=1
    exit "$code"
}

log=
new=
counter=
# shellcheck disable=SC2317,SC2329 # called by the trap
clean()
{
    trap '' HUP INT TERM
    # (A shell that was just forked may lose any other signal.)
    [ -z "$counter" ] || kill -KILL "$counter" 2>/dev/null || true
    [ -z "$log$new" ] || rm -f "$log" "$new"
}

# ---- the rest --------------------------------------------------------------------------------

# Sorts lines of `compose logs -t` by the time that each says itself, or else by the engine's, and
# takes that one away. An empty line is a tick of the clock: what has come is shown, once what was
# there before `now` is through.
in_order()
{
    awk="awk"
    # mawk would wait for more.
    if awk -W version 2>/dev/null </dev/null | grep -q '^mawk'; then awk='awk -W interactive'; fi
    # shellcheck disable=SC2016,SC2086 # awk's own $; a command and its option
    LC_ALL=C $awk -v now="$(date -u +%Y-%m-%dT%H:%M:%S)" '
        BEGIN { sort = "LC_ALL=C sort -s -t \"\t\" -k 1,2 | cut -f 3-" }
        $0 == "" {
            if (!is_old || ++ticks > 6) { close(sort); ticks = 0 }
            is_old = 0
            next
        }
        /^Attaching to / { next }
        {
            at = index($0, "| ")
            name = substr($0, 1, at + 1)
            line = substr($0, at + 2)
            time = line
            sub(/ .*/, "", time)
            if (at == 0 || time !~ /^[0-9]+-[0-9]+-[0-9]+T[0-9:.]+Z$/) { print "\t\t" $0 | sort; next }
            line = substr(line, length(time) + 2)
            is_old = is_old || time < now
            own = time
            if (line ~ /^[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+[.][0-9]/) own = substr(line, 1, 10) "T" substr(line, 12, 12)
            if (line ~ /^[{]"time":"[0-9]/) own = substr(line, 10, 23)
            print own "\t" time "\t" name line | sort
        }
        END { close(sort) }'
}

# As long as lab.sh and what reads the ticks are there.
tick()
{
    while sleep 0.5 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        echo
    done
}

# Ends when no container runs any more.
follow()
{
    tick &
    ticker=$!
    compose logs --no-color -t --follow || code=$?
    kill -KILL "$ticker" || true
    return "$code"
}

logs()
{
    code=0
    trap clean EXIT
    trap 'exit 1' HUP INT TERM
    case ${FOLLOW-} in
    '' | 0)
        [ -n "$(containers -a)" ] || not_up
        log=$(mktemp)
        compose logs --no-color -t >"$log" || code=$?
        in_order <"$log"
        return "$code"
        ;;
    1)
        [ -n "$(containers -a)" ] || not_up
        log=$(mktemp)
        { follow || echo $? >"$log"; } | in_order
        return "$(echo 0 | cat - "$log" | tail -n 1)"
        ;;
    *) fail "FOLLOW='$FOLLOW' is wrong; allowed: 1, or 0" 2 ;;
    esac
}

netcat()
{
    export HOST PORT MESSAGE TIMEOUT_S
    if [ -n "${MESSAGE_FILE-}" ]; then
        [ ! -d "$MESSAGE_FILE" ] || fail "MESSAGE_FILE='$MESSAGE_FILE' is a folder; allowed: a file" 2
        [ -r "$MESSAGE_FILE" ] || fail "MESSAGE_FILE='$MESSAGE_FILE' cannot be read; allowed: a file" 2
        if [ -f "$MESSAGE_FILE" ] && [ ! -s "$MESSAGE_FILE" ]; then
            fail "MESSAGE_FILE='$MESSAGE_FILE' is empty; allowed: one byte or more" 2
        fi
        export MESSAGE_FROM=stdin
    else
        MESSAGE_FILE=/dev/null
    fi
    sh "$here/netcat.sh" check || exit
    # It would start a server of its own.
    [ -n "$(containers)" ] || not_up
    make_readable
    BUSYBOX_IMAGE=$("$here/../tools/images.sh" busybox)
    export BUSYBOX_IMAGE
    trap clean EXIT
    trap 'exit 1' HUP INT TERM
    log=$(mktemp)
    code=0
    compose --profile test run --rm --no-deps -T netcat <"$MESSAGE_FILE" 2>"$log" || code=$?
    # But for what Compose says of the container, if netcat said something itself.
    [ "$code" -eq 0 ] || grep '^netcat: ' "$log" >&2 || cat "$log" >&2
    exit "$code"
}

# Who has metrics, as generate.sh wrote it: "server, client1 to client5".
with_metrics()
{
    sed -n 's/.*"\(.*\):[0-9]*".*/\1/p' "$targets" | awk '
        { last = $1 }
        NR == 1 { text = $1; next }
        /^client1$/ { text = text ", " $1 }
        END { if (last != "client1" && last ~ /^client/) text = text " to " last; print text == "" ? "none, since config has no admin_address" : text }'
}

metrics()
{
    targets=$here/prometheus/targets.yaml
    case ${HOST-} in
    '' | *[!a-z0-9]*) target= ;;
    *) target=$(sed -n "s/.*\"\($HOST:[0-9]*\)\".*/\1/p" "$targets") ;;
    esac
    [ -n "$target" ] || fail "HOST='${HOST-}' has no metrics here; allowed: $(with_metrics)" 2
    [ -n "$(containers)" ] || not_up
    BUSYBOX_IMAGE=$("$here/../tools/images.sh" busybox)
    METRICS_OF=$target
    TIMEOUT_S=${TIMEOUT_S:-5}
    case $TIMEOUT_S in
    *[!0-9]* | 0* | ?????*) fail "TIMEOUT_S='$TIMEOUT_S' is wrong; allowed: 1 to 9999" 2 ;;
    esac
    export BUSYBOX_IMAGE METRICS_OF TIMEOUT_S
    trap clean EXIT
    trap 'exit 1' HUP INT TERM
    log=$(mktemp)
    code=0
    compose --profile test run --rm --no-deps -T metrics 2>"$log" || code=$?
    [ "$code" -ne 143 ] || echo "wget: no answer within $TIMEOUT_S s" >"$log"
    # But for what Compose says of the container, if wget said something itself.
    [ "$code" -eq 0 ] || sed -n "s/^wget: /metrics: $target: /p" "$log" | grep . >&2 || cat "$log" >&2
    [ "$code" -eq 0 ] || exit 1
}

load()
{
    containers | grep -q '^server ' || not_up
    # shellcheck disable=SC2086 # options, to be split
    compose --profile test run --rm -T --no-deps load ${LOAD-}
}

down()
{
    code=0
    compose --profile test --profile observe stop -t 5 && compose --profile test --profile observe down -t 5 --remove-orphans || code=$?
    # Of an earlier lab.yaml, with PUBLISH or OBSERVE.
    docker network rm "${project}_published" >/dev/null 2>&1 || true
    [ "$code" -ne 0 ] || return 0
    # Docker Engine 20.10 miscounts what is in a network when some hundred containers leave it.
    if [ -z "$(containers -a)" ] && docker network inspect "${project}_lab" >/dev/null 2>&1; then
        echo "lab: all containers are removed; Docker keeps the empty network ${project}_lab until it is started anew" >&2
    fi
    exit "$code"
}

if [ -n "${FAULT-}" ]; then
    SERVER_IMAGE=$("$here/fault.sh") || exit
    export SERVER_IMAGE
fi
case ${1-} in
up | logs | ps | netcat | metrics | load | down) ;;
policy | grade) exec "$here/$1.sh" ;;
*)
    echo "usage: lab.sh up | logs | ps | netcat | metrics | load | policy | grade | down" >&2
    exit 2
    ;;
esac
[ -n "${COMPOSE-}" ] || COMPOSE=$(find_compose)
[ -f "$here/lab.yaml" ] || not_up
case $1 in
ps) compose ps ;;
*) "$1" ;;
esac
