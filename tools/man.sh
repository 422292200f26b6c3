#!/bin/sh
# Writes a program's manual page in mdoc(7) to stdout. The text is a frame written by hand; the
# settings and options are the program's own: they come from its --print-config and --help.
#
#   man.sh PROGRAM FRAME
#
# These stand for something else in the frame:
#   @KEYS@       alone on a line: each key with its option, variable, range and default
#   @OPTIONS@    alone on a line: the other options
#   @DATE@       the day of the page;  @VERSION@  the program's version
#
# Environment: SOURCE_DATE_EPOCH, the time of the page in seconds since 1970; default: the
# commit's, or the frame's own where there is no git.
#
# Exit: 0 written; 1 the program or the frame is not as expected; 2 usage.
set -eu
export LC_ALL=C

fail()
{
    echo "man: $*" >&2
    exit 1
}

# The program, with nothing of this machine's settings.
ask()
{
    env -i "$program" -c /dev/null "$1" 2>/dev/null || fail "$program $1 fails; allowed: a program that runs here"
}

find_epoch()
{
    echo "${SOURCE_DATE_EPOCH:-$(git -C "$(dirname "$frame")" log -1 --format=%ct 2>/dev/null || date -r "$frame" +%s)}"
}

[ $# -eq 2 ] || { echo "usage: man.sh PROGRAM FRAME" >&2; exit 2; }
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
frame=$2
[ -r "$frame" ] || fail "$frame: cannot be read; allowed: a frame like docs/man/echo-server.in"

epoch=$(find_epoch)
DATE=$(date -u -d "@$epoch" '+%B %e, %Y' 2>/dev/null) ||
    fail "SOURCE_DATE_EPOCH='$epoch' is no time; allowed: seconds since 1970"
DATE=$(echo "$DATE" | tr -s ' ')
VERSION=$(ask --version)
VERSION=${VERSION##* }
CONFIG=$(ask --print-config)
HELP=$(ask --help)
export DATE VERSION CONFIG HELP

awk -v frame="$frame" '
function fail(what) { print "man: " what | "cat >&2"; is_failed = 1; exit 1 }

# Text of others as text of the page: nothing in it is a macro or an escape.
function plain(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    sub(/^[.\047]/, "\\\\\\&&", text)
    return text
}

function sentence(text) { return plain(toupper(substr(text, 1, 1)) substr(text, 2)) "." }

# What --help calls the value of each option: "--port PORT".
function read_values(    lines, count, i, words)
{
    count = split(ENVIRON["HELP"], lines, "\n")
    for (i = 1; i <= count && lines[i] != "Other options:"; i++) {
        if (lines[i] !~ /^  --[a-z0-9-]+ [^ ]+  *[^ ]/) continue
        split(lines[i], words, " ")
        value_of[substr(words[1], 3)] = tolower(words[2])
    }
}

# One key: help, range and default, names, as three comments; section and name.
function put_key(section, key, help, range, names,    option, value)
{
    if (names !~ /^[A-Z0-9_]+, --[a-z0-9-]+$/ || range !~ /^Allowed: .*\. Default: .*\.$/)
        fail("[" section "] " key ": its comments are not as expected; allowed: help, range and default, names")
    option = names
    sub(/^.*, --/, "", option)
    sub(/,.*/, "", names)
    value = value_of[option]
    if (value == "") fail("--help does not show --" option " with its value; allowed: one for each key")
    print ".It Fl \\-" plain(option) (value == "[no|yes]" ? " Op Cm no | yes" : " Ar " plain(value))
    print sentence(substr(help, 1, length(help) - 1))
    match(range, /\. Default: /)
    print plain(substr(range, 1, RSTART))
    print plain(substr(range, RSTART + 2))
    print ".br"
    print ".Bq " section
    print ".Cm " key ,","
    print ".Ev " names
}

function put_keys(    lines, count, i, section, comments, c)
{
    read_values()
    count = split(ENVIRON["CONFIG"], lines, "\n")
    for (i = 1; i <= count; i++) {
        if (lines[i] == "") { comments = 0; continue }
        if (lines[i] ~ /^; /) { c[++comments] = substr(lines[i], 3); continue }
        if (lines[i] ~ /^\[[a-z]+\]$/) {
            if (section != "") print ".El"
            section = substr(lines[i], 2, length(lines[i]) - 2)
            print ".Ss Section " section
            print ".Bl -tag -width Ds"
            continue
        }
        if (lines[i] !~ /^[a-z0-9_]+ = ./ || comments != 3)
            fail("--print-config: \"" lines[i] "\" is not expected; allowed: sections, and keys after three comments")
        put_key(section, substr(lines[i], 1, index(lines[i], " ") - 1), c[1], c[2], c[3])
        keys++
    }
    if (keys == 0) fail("--print-config has no keys")
    print ".El"
}

# "--config FILE, -c FILE" as macros.
function option_macros(names,    forms, count, i, words, macros)
{
    count = split(names, forms, ", ")
    for (i = 1; i <= count; i++) {
        split(forms[i], words, " ")
        macros = macros (i > 1 ? " , Fl " : "Fl ") plain(substr(words[1], 2))
        if (words[2] != "") macros = macros " Ar " tolower(words[2])
    }
    return macros
}

function put_options(    lines, count, i, is_inside, at)
{
    count = split(ENVIRON["HELP"], lines, "\n")
    print ".Bl -tag -width Ds"
    for (i = 1; i <= count; i++) {
        if (is_inside && lines[i] == "") break
        if (is_inside) {
            at = match(lines[i], /[^ ]  +[^ ]/)
            if (!at) fail("--help: \"" lines[i] "\" is not expected; allowed: an option, two blanks, its help")
            print ".It " option_macros(substr(lines[i], 3, at - 2))
            print sentence(substr(lines[i], RSTART + RLENGTH - 1))
            options++
        }
        if (lines[i] == "Other options:") is_inside = 1
    }
    if (options == 0) fail("--help has no other options")
    print ".El"
}

$0 == "@KEYS@" { put_keys(); next }
$0 == "@OPTIONS@" { put_options(); next }
{ gsub(/@DATE@/, ENVIRON["DATE"]); gsub(/@VERSION@/, ENVIRON["VERSION"]); print }
END {
    if (is_failed) exit 1
    if (!keys || !options) fail(frame ": @KEYS@ or @OPTIONS@ is missing; allowed: each alone on a line")
}' "$frame"
