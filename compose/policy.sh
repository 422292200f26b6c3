#!/bin/sh
# Tries who reaches whom: starts the servers of a file in their networks, lets each client of it
# talk once for each `expect`, and shows what was seen beside what is expected. policy.txt
# describes the file. All that was started is removed at the end.
#
#   policy.sh [FILE]     default: POLICY, or policy.txt beside this script
#   policy.sh --check [FILE]     only read the file
#
# Environment:
#   SERVER_IMAGE, CLIENT_IMAGE   default: echolab-server:latest, echolab-client:latest
#   PROJECT                      begins the names of what is started; default: echolab
#   POLICY_TIMEOUT               of a client; default: 3s
# Exit: 0 all is as expected; 1 something is not, or could not be tried; 2 the file is wrong.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
server_image=${SERVER_IMAGE:-echolab-server:latest}
client_image=${CLIENT_IMAGE:-echolab-client:latest}
timeout=${POLICY_TIMEOUT:-3s}
# Names and labels of this run, so that two runs do not meet.
run=${PROJECT:-echolab}-policy-$$
# What base.yaml has as x-hardened.
hardened='--user 65532:65532 --read-only --cap-drop ALL --security-opt no-new-privileges:true
    --pids-limit 128 --memory 64m --memory-swap 64m --cpu-shares 512 --ipc none'

fail()
{
    echo "policy: $1" >&2
    exit "${2:-1}"
}

# ---- the file --------------------------------------------------------------------------------

# Checks the file; prints its lines without comments, and each mistake with its line.
parse() # FILE
{
    awk -v file="$1" '
        function wrong(what, allowed) {
            printf "%s:%d: %s; allowed: %s\n", file, NR, what, allowed >"/dev/stderr"
            mistakes++
        }
        function is_name(text) { return text ~ /^[A-Za-z0-9][A-Za-z0-9_.-]*$/ && length(text) <= 40 }
        function is_port(text) { return text ~ /^[1-9][0-9]*$/ && length(text) <= 5 && text + 0 <= 65535 }
        function is_a(name, what) { return name in kind && kind[name] == what }
        function check_labels(   i) {
            for (i = 4; i <= NF; i++)
                if ($i !~ /^[A-Za-z0-9][A-Za-z0-9_.\/-]*=[A-Za-z0-9_.-]*$/)
                    wrong("\x27" $i "\x27 is no label", "LABEL=VALUE")
        }
        function check_party(   network) {
            if (NF < 3) { wrong($1 " needs a name and a network", $1 " NAME NETWORK [LABEL=VALUE]..."); return }
            network = $3
            sub(/^existing:/, "", network)
            if (!is_name($2)) wrong("\x27" $2 "\x27 is no name", "letters, digits, _ . -, at most 40")
            else if ($2 in kind) wrong("\x27" $2 "\x27 is defined twice", "one line for each name")
            if (!is_name(network)) wrong("\x27" $3 "\x27 is no network", "a name, or existing:NAME")
            kind[$2] = $1
            check_labels()
        }
        function check_to(to,   host, port) {
            host = to
            sub(/^@/, "", host)
            port = host
            if (!sub(/.*:/, "", port) || !is_port(port)) { wrong("\x27" to "\x27 has no port", "SERVER:PORT, the port 1 to 65535"); return }
            sub(/:[^:]*$/, "", host)
            if (host !~ /^[A-Za-z0-9][A-Za-z0-9_.-]*$/ && host !~ /^\[[0-9A-Fa-f:.]+\]$/) wrong("\x27" to "\x27 has no server", "SERVER:PORT")
            else if (to ~ /^@/ && !is_a(host, "server")) wrong("\x27" to "\x27: no server \x27" host "\x27 is defined above", "with @ the name of a server line")
        }
        function check_expect(   seen, count, i) {
            if (NF != 4) { wrong("expect needs three words", "expect CLIENT SERVER:PORT SEEN"); return }
            if (!is_a($2, "client")) wrong("no client \x27" $2 "\x27 is defined above", "the name of a client line")
            check_to($3)
            count = split($4, seen, "|")
            for (i = 1; i <= count; i++)
                if (index(" echo differs refused timeout not-resolved unreachable reset closed ", " " seen[i] " ") == 0 || seen[i] == "")
                    wrong("\x27" seen[i] "\x27 is never seen", "echo, differs, refused, timeout, not-resolved, unreachable, reset, closed, with | between")
            expects++
        }
        { sub(/\r$/, ""); sub(/(^|[ \t])#.*/, "") }
        NF == 0 { next }
        { $1 = $1; print }
        $1 == "server" || $1 == "client" { check_party(); next }
        $1 == "expect" { check_expect(); next }
        { wrong("\x27" $1 "\x27 is unknown", "server, client, expect") }
        END {
            if (!mistakes && !expects) wrong("nothing is expected", "one line or more that begins with expect")
            exit mistakes > 0
        }' "$1"
}

# ---- the engine: Docker ----------------------------------------------------------------------

network_of() # NETWORK: its name for the engine
{
    case $1 in
    existing:*) echo "${1#existing:}" ;;
    *) echo "$run-$1" ;;
    esac
}

make_networks()
{
    awk '$1 != "expect" { print $3 }' "$dir/matrix" | sort -u | while read -r network; do
        case $network in
        existing:*)
            docker network inspect "${network#existing:}" >/dev/null 2>&1 ||
                fail "there is no network ${network#existing:}, which the file calls existing"
            ;;
        *)
            docker network create --internal --label "echolab.policy=$run" "$(network_of "$network")" >/dev/null ||
                fail "the network $network cannot be made"
            ;;
        esac
    done
}

# Options for the labels of a line.
labels() # LABEL=VALUE...
{
    for label; do
        printf -- '--label %s ' "$label"
    done
}

start_server() # NAME NETWORK LABEL=VALUE...
{
    name=$1
    network=$2
    shift 2
    # shellcheck disable=SC2046,SC2086 # options, to be split
    docker run -d --name "$run-$name" --network "$(network_of "$network")" --network-alias "$name" \
        --label "echolab.policy=$run" $(labels "$@") $hardened --health-interval 500ms \
        "$server_image" >/dev/null || fail "the server $name does not start"
}

start_servers()
{
    grep '^server ' "$dir/matrix" >"$dir/servers" || return 0
    while read -r _ name network labels; do
        # shellcheck disable=SC2086 # labels, to be split
        start_server "$name" "$network" $labels </dev/null
    done <"$dir/servers"
    while read -r _ name _; do
        await_server "$name" </dev/null
    done <"$dir/servers"
}

# An image without a health check gets two seconds.
await_server() # NAME
{
    tries=0
    while [ "$tries" -lt 40 ]; do
        state=$(docker inspect -f '{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}unknown{{end}}' "$run-$1")
        case $state in
        'true healthy') return ;;
        'true unknown') [ "$tries" -lt 4 ] || return 0 ;;
        false*) break ;;
        esac
        tries=$((tries + 1))
        sleep 0.5
    done
    docker logs --tail 5 "$run-$1" >&2 2>&1 || true
    fail "the server $1 does not serve; its last lines are above"
}

address_of() # SERVER
{
    docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$run-$1"
}

# What the client sees: its exit code, where one has two meanings its words.
word_for() # CODE, its output in $dir/output
{
    case $1 in
    0) echo echo ;;
    3) echo not-resolved ;;
    4) if grep -q refused "$dir/output"; then echo refused; else echo unreachable; fi ;;
    5) echo timeout ;;
    6) echo differs ;;
    7) if grep -q reset "$dir/output"; then echo reset; else echo closed; fi ;;
    *) echo "failed($1)" ;;
    esac
}

# Lets a client talk once; prints what it saw.
try() # CLIENT TO
{
    to=$2
    case $to in
    @*)
        port=${to##*:}
        to=${to#@}
        to=$(address_of "${to%:*}"):$port
        ;;
    esac
    awk -v name="$1" '$1 == "client" && $2 == name' "$dir/matrix" >"$dir/client"
    read -r _ _ network labels <"$dir/client"
    code=0
    # shellcheck disable=SC2046,SC2086 # options, to be split
    docker run --rm --network "$(network_of "$network")" --label "echolab.policy=$run" \
        $(labels $labels) $hardened "$client_image" --once --server-address "$to" --timeout "$timeout" \
        >"$dir/output" 2>&1 </dev/null || code=$?
    word_for "$code"
}

# shellcheck disable=SC2317,SC2329 # called by the trap
remove_all()
{
    containers=$(docker ps -aq --filter "label=echolab.policy=$run")
    # shellcheck disable=SC2086 # ids, to be split
    [ -z "$containers" ] || docker rm -f $containers >/dev/null || true
    networks=$(docker network ls -q --filter "label=echolab.policy=$run")
    # shellcheck disable=SC2086 # ids, to be split
    [ -z "$networks" ] || docker network rm $networks >/dev/null || true
}

# ---- the table -------------------------------------------------------------------------------

row() # FROM TO EXPECTED SEEN [VERDICT]
{
    printf "%-${from_width}s  %-${to_width}s  %-${expected_width}s  %-12s  %s\n" "$@" | sed 's/ *$//'
}

width_of() # COLUMN TITLE
{
    awk -v column="$1" -v least="${#2}" '
        $1 == "expect" && length($column) > least { least = length($column) }
        END { print least }' "$dir/matrix"
}

try_all()
{
    from_width=$(width_of 2 from)
    to_width=$(width_of 3 to)
    expected_width=$(width_of 4 expected)
    grep '^expect ' "$dir/matrix" >"$dir/expects"
    wrong=0
    rows=0
    row from to expected seen
    while read -r _ from to expected; do
        seen=$(try "$from" "$to")
        rows=$((rows + 1))
        case "|$expected|" in
        *"|$seen|"*) row "$from" "$to" "$expected" "$seen" ok ;;
        *)
            wrong=$((wrong + 1))
            row "$from" "$to" "$expected" "$seen" "NOT AS EXPECTED"
            # What the client or the engine said, where that is no answer to the question.
            case $seen in failed*) tail -n 2 "$dir/output" >&2 ;; esac
            ;;
        esac
    done <"$dir/expects"
    if [ "$wrong" -gt 0 ]; then
        fail "$wrong of $rows not as expected"
    fi
    echo "policy: all $rows as expected"
}

only_check=no
if [ "${1-}" = --check ]; then
    only_check=yes
    shift
fi
[ $# -le 1 ] || { echo "usage: policy.sh [--check] [FILE]" >&2; exit 2; }
file=${1:-${POLICY:-$here/policy.txt}}
{ [ -f "$file" ] && [ -r "$file" ]; } || fail "POLICY='$file' cannot be read; allowed: a file like compose/policy.txt" 2

dir=
is_started=no
# shellcheck disable=SC2317,SC2329 # called by the trap
clean()
{
    trap '' HUP INT TERM
    [ "$is_started" = no ] || remove_all
    [ -z "$dir" ] || rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
dir=$(mktemp -d)
parse "$file" >"$dir/matrix" || exit 2
[ "$only_check" = no ] || exit 0
is_started=yes
make_networks
start_servers
try_all
