#!/bin/sh
# Prints the name of the image of a broken server: that of FAULT.
#
#   fault.sh          test/classroom/fault_server.c describes the faults
#
# Environment: FAULT; SERVER_IMAGE must not name another server at the same time.
# Exit: 0 printed; 2 FAULT is wrong.
set -eu

faults='short-write drops-tail one-at-a-time no-shutdown flips-a-bit prefix leaks ignores-term'

refuse()
{
    echo "lab: $1" >&2
    exit 2
}

case " $faults " in
*" ${FAULT-} "*) ;;
*) refuse "FAULT='${FAULT-}' is unknown; allowed: $(echo "$faults" | sed 's/ /, /g')" ;;
esac
# (Of two words that stand side by side there, too.)
case ${FAULT-} in
'' | *' '*) refuse "FAULT='${FAULT-}' is unknown; allowed: $(echo "$faults" | sed 's/ /, /g')" ;;
esac
image=echolab-fault:$FAULT
case ${SERVER_IMAGE-} in
'' | "$image") ;;
*) refuse "FAULT='$FAULT' and SERVER_IMAGE='$SERVER_IMAGE' are two servers; allowed: one of the two" ;;
esac
echo "$image"
