#!/bin/sh
# Writes a bill of materials of a built program: an SPDX 2.3 document that names the program
# and the libraries inside it, and the licence texts that have to go with it.
#
#   sbom.sh PROGRAM FOLDER    writes FOLDER/NAME.spdx.json (NAME is PROGRAM's last part) and
#                             FOLDER/licenses/echolab.txt, musl.txt, inih.txt; and
#                             fortify-headers.txt where there are such headers: Alpine's
#                             compiler puts their functions into what it compiles
#
# Versions and licences are those of the packages that the libraries came from, Debian's or
# Alpine's, so it runs where PROGRAM was built. The same inputs give the same bytes.
#
# Environment:
#   ROOT               folder with the root that the libraries came from, for a cross build;
#                      default: this system's
#   VERSION            PROGRAM's version, where PROGRAM cannot be run here
#   SOURCE_DATE_EPOCH  the time in the document, in seconds since 1970; default 0
#
# Exit: 0 written; 1 it cannot be written, and nothing half-written is left; 2 usage.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
root=${ROOT-}

fail()
{
    echo "sbom: $*" >&2
    exit 1
}

# ---- text ----------------------------------------------------------------------------------

# A JSON string, with its quotes.
json()
{
    printf '"'
    printf '%s\n' "$1" | tr -d '\000-\010\013-\037\177' | sed 's/[\\"]/\\&/g; s/	/\\t/g' |
        awk 'NR > 1 { printf "%s", "\\n" } { printf "%s", $0 }'
    printf '"'
}

# The SPDX identifier of a licence, from Debian's short name or Alpine's.
spdx_license()
{
    case $(printf '%s' "$1" | tr '[:upper:]' '[:lower:]') in
    mit | expat) echo MIT ;;
    0bsd) echo 0BSD ;;
    bsd-2-clause) echo BSD-2-Clause ;;
    bsd-3-clause) echo BSD-3-Clause ;;
    isc) echo ISC ;;
    *) fail "$2: licence '$1' is unknown; allowed: MIT, Expat, 0BSD, BSD-2-clause, BSD-3-clause, ISC" ;;
    esac
}

# A field of the paragraph "Files: *" of a machine-readable debian/copyright.
dep5_field()
{
    awk -v field="$2:" '
        BEGIN { RS = ""; FS = "\n" }
        /(^|\n)Files:[ \t]*\*[ \t]*(\n|$)/ {
            for (i = 1; i <= NF; i++) {
                if ($i !~ /^[ \t]/) {
                    wanted = index($i, field) == 1
                    sub(/^[^:]*:/, "", $i)
                }
                sub(/^[ \t]+/, "", $i)
                if (wanted && $i != "") print $i
            }
            exit
        }' "$1"
}

first_copyright_line()
{
    sed -n '/^Copyright/{p;q;}' "$1"
}

# ---- where the libraries came from -----------------------------------------------------------

# A value of the distribution's os-release. A cross build's root has none: its packages are
# those of this system's release.
release()
{
    file=$root/etc/os-release
    [ -r "$file" ] || file=/etc/os-release
    [ ! -r "$file" ] || sed -n "s/^$1=//p" "$file" | tr -d "\"'"
}

# The package in apk's database that owns FOLDER/FILE, on one line:
# name, version, architecture, source package, homepage or -, licence (may have spaces).
apk_owner() # FOLDER FILE
{
    awk -v folder="$1" -v file="$2" '
        function tell() {
            source = f["o"] ? f["o"] : f["P"]
            if (owner) print f["P"], f["V"], f["A"], source, f["U"] ? f["U"] : "-", f["L"]
        }
        $0 == "" { if (owner) exit; split("", f); next }
        { key = substr($0, 1, 1); f[key] = substr($0, 3) }
        key == "R" && f["F"] == folder && f["R"] == file { owner = 1 }
        END { tell() }' "$apk_db"
}

# The next functions set what is known of the package that has a library: package, version,
# architecture, source, source_version, homepage (or nothing), license, copyright, and text,
# the file with the licence.

alpine_facts() # NAME FOLDER FILE
{
    owner=$(apk_owner "$2" "$3")
    [ -n "$owner" ] ||
        fail "$apk_db: no package has $2/$3; install it with: apk add build-base inih-dev"
    read -r package version architecture source homepage license <<OWNER
$owner
OWNER
    [ "${cpu:-$architecture}" = "$architecture" ] || [ "$architecture" = noarch ] ||
        fail "$apk_db: $package is for $architecture, but $program is for $cpu"
    source_version=$version
    [ "$homepage" != - ] || homepage=
    license=$(spdx_license "$license" "$apk_db: $package")
    # Alpine's packages bring no licence texts.
    text=$top/docs/licenses/$1.txt
    [ -r "$text" ] || fail "$text: not there, but it is the licence of $1"
    copyright=$(first_copyright_line "$text")
    # musl, not musl-dev: the name under which Alpine lists its vulnerabilities.
    package=$source
}

# In a root that was unpacked and not installed, dpkg's database is empty; changelogs are there.
# Prints source package and version, or nothing if the library is not there.
changelog_version() # PACKAGE ARCHIVE
{
    set -- "$1" "$root/usr/lib/$cpu-linux-"*/"$2"
    [ -e "$2" ] || return 0
    # A rebuild for one architecture has a changelog of its own beside the common one.
    doc=$root/usr/share/doc/$1
    for file in "$doc/changelog.Debian.$arch.gz" "$doc/changelog.Debian.gz"; do
        if [ -r "$file" ]; then
            gzip -dc "$file" | sed -n '1s/^\([^ ]*\) (\([^)]*\)).*/\1 \2/p'
            return
        fi
    done
}

debian_facts() # PACKAGE ARCHIVE
{
    package=$1
    # With the architecture: the library may be here for others, too.
    wanted=$1${arch:+:$arch}
    # shellcheck disable=SC2016 # dpkg-query's own variables
    format='${db:Status-Status} ${Version} ${Architecture} ${source:Package} ${source:Version} ${Homepage}'
    found=$(dpkg-query --admindir="$root/var/lib/dpkg" -f "$format\n" -W "$wanted" 2>/dev/null |
        sed -n '/^not-installed/d; /^config-files/d; p; q')
    if [ -n "$found" ]; then
        read -r _ version architecture source source_version homepage <<FOUND
$found
FOUND
    else
        [ -z "$root" ] || found=$(changelog_version "$1" "$2")
        [ -n "$found" ] ||
            fail "${root:-/}: package $wanted is not there; install it, or set ROOT to the root that has it"
        read -r source version <<FOUND
$found
FOUND
        architecture=$arch
        source_version=${version%+b[0-9]*}
        homepage=
    fi
    text=$root/usr/share/doc/$1/copyright
    [ -r "$text" ] || fail "$text: not there, but it tells the licence of $1"
    license=$(dep5_field "$text" License | sed 1q)
    [ -n "$license" ] ||
        fail "$text: no License in a paragraph 'Files: *'; allowed: the machine-readable format 1.0"
    license=$(spdx_license "$license" "$text")
    copyright=$(dep5_field "$text" Copyright)
}

library_facts() # NAME
{
    case $packaging:$1 in
    apk:musl) alpine_facts musl usr/lib libc.a ;;
    apk:inih) alpine_facts inih usr/lib libinih.a ;;
    apk:fortify-headers) alpine_facts fortify-headers usr/include/fortify string.h ;;
    deb:musl) debian_facts musl-dev libc.a ;;
    deb:inih) debian_facts libinih-dev libinih.a ;;
    esac
    case $version in
    '' | *[!A-Za-z0-9.+~:_-]*)
        fail "${root:-/}: $package has the version '$version'; allowed: letters, digits, . + ~ : _ -"
        ;;
    esac
    [ -n "$copyright" ] || fail "$text: no copyright notice of $1 in it"
}

# ---- the document ----------------------------------------------------------------------------

# The package's name for scanners (a package URL).
purl()
{
    distro=$(release VERSION_ID)
    distro=${distro:+$id-$distro}
    [ -n "$distro" ] || distro=$(release VERSION_CODENAME)
    printf 'pkg:%s/%s/%s@%s?arch=%s' "$packaging" "$id" "$package" \
        "$(printf '%s' "$version" | sed 's/+/%2B/g')" "$architecture"
    [ -z "$distro" ] || printf '&distro=%s' "$distro"
    [ "$source" = "$package" ] || printf '&upstream=%s' "$source"
}

# The library whose facts were set last.
library() # NAME
{
    cat <<LIBRARY
    {
      "SPDXID": "SPDXRef-$1",
      "name": "$1",
      "versionInfo": $(json "$version"),
      "primaryPackagePurpose": "LIBRARY",
      "supplier": $(json "Organization: $distribution"),
      "downloadLocation": $(json "${homepage:-NOASSERTION}"),
      "homepage": $(json "${homepage:-NOASSERTION}"),
      "filesAnalyzed": false,
      "sourceInfo": $(json "built package from: $source $source_version"),
      "licenseConcluded": "$license",
      "licenseDeclared": "$license",
      "copyrightText": $(json "$copyright"),
      "externalRefs": [
        {
          "referenceCategory": "PACKAGE-MANAGER",
          "referenceType": "purl",
          "referenceLocator": $(json "$(purl)")
        }
      ]
    }
LIBRARY
}

document() # NAMESPACE
{
    cat <<DOCUMENT
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "$name-$program_version",
  "documentNamespace": "$1",
  "creationInfo": {
    "created": "$created",
    "creators": [
      "Tool: echolab-sbom.sh-$program_version"
    ]
  },
  "packages": [
    {
      "SPDXID": "SPDXRef-$name",
      "name": "$name",
      "versionInfo": "$program_version",
      "packageFileName": "$name",
      "primaryPackagePurpose": "APPLICATION",
      "supplier": "Organization: echolab",
      "downloadLocation": "NOASSERTION",
      "filesAnalyzed": false,
      "checksums": [
        {
          "algorithm": "SHA256",
          "checksumValue": "$sha256"
        }
      ],
      "licenseConcluded": "MIT",
      "licenseDeclared": "MIT",
      "copyrightText": $(json "$program_copyright")
    },
$musl,
$inih$fortify
  ],
  "relationships": [
    {
      "spdxElementId": "SPDXRef-DOCUMENT",
      "relationshipType": "DESCRIBES",
      "relatedSpdxElement": "SPDXRef-$name"
    },
    {
      "spdxElementId": "SPDXRef-$name",
      "relationshipType": "STATIC_LINK",
      "relatedSpdxElement": "SPDXRef-musl"
    },
    {
      "spdxElementId": "SPDXRef-$name",
      "relationshipType": "STATIC_LINK",
      "relatedSpdxElement": "SPDXRef-inih"
    }$fortify_relation
  ]
}
DOCUMENT
}

# ---- the program -----------------------------------------------------------------------------

# Magic number, word size and machine of an executable (ELF header), in hexadecimal.
elf_kind()
{
    od -An -tx1 -N20 "$1" 2>/dev/null | tr -d ' \n' | cut -c1-10,37-40
}

# busybox's shell takes a program for another machine for a script and runs its bytes as
# commands: look first.
ask_version()
{
    [ "$kind" = "$(elf_kind /proc/self/exe)" ] || return 0
    "$(cd "$(dirname "$program")" && pwd)/$name" --version 2>/dev/null || return 0
}

[ $# -eq 2 ] || { echo "usage: sbom.sh PROGRAM FOLDER" >&2; exit 2; }
program=$1
folder=$2

name=$(basename "$program")
kind=$(elf_kind "$program")
case $kind in
7f454c46023e00) arch=amd64 cpu=x86_64 ;;
7f454c4602b700) arch=arm64 cpu=aarch64 ;;
7f454c46*) arch='' cpu='' ;;
*) fail "$program: not an executable; allowed: a program that make has built" ;;
esac
case $name in
*[!A-Za-z0-9.-]*)
    fail "$program: its name cannot be an SPDX identifier; allowed: letters, digits, . and -"
    ;;
esac

epoch=${SOURCE_DATE_EPOCH:-0}
case $epoch in
*[!0-9]* | ????????????*) created= ;;
*) created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null) || created= ;;
esac
[ -n "$created" ] || fail "SOURCE_DATE_EPOCH='$epoch' is no time; allowed: seconds since 1970"

answer=$(ask_version)
if [ -n "$answer" ]; then
    program_version=${answer#"$name "}
    [ "$answer" != "$program_version" ] ||
        fail "$program --version says '$answer'; allowed: $name and a version"
else
    program_version=${VERSION-}
    [ -n "$program_version" ] || fail "$program: it cannot be run here to tell its version; set VERSION"
fi
case $program_version in
*[!A-Za-z0-9.+~-]*)
    fail "$program: its version is '$program_version'; allowed: letters, digits, . + ~ -"
    ;;
esac

[ -r "$top/LICENSE" ] || fail "$top/LICENSE: not there"
program_copyright=$(first_copyright_line "$top/LICENSE")
[ -n "$program_copyright" ] || fail "$top/LICENSE: no line that begins with Copyright"

# Where apk keeps its database: the second where /lib is a link to /usr/lib.
for apk_db in "$root/lib/apk/db/installed" "$root/usr/lib/apk/db/installed" ''; do
    [ ! -r "$apk_db" ] || break
done
if [ -n "$apk_db" ]; then
    packaging=apk
elif [ -r "$root/var/lib/dpkg/status" ]; then
    packaging=deb
else
    fail "${root:-/}: not the root of Debian (var/lib/dpkg/status) or Alpine (lib/apk/db/installed)"
fi
id=$(release ID)
distribution=$(release NAME)
if [ -z "$id" ] || [ -z "$distribution" ]; then
    fail "${root:-/}: etc/os-release is not there, or without ID and NAME"
fi

sha256=$(sha256sum <"$program" | cut -c1-64)
library_facts musl
musl=$(library musl)
musl_text=$text
library_facts inih
inih=$(library inih)
inih_text=$text
fortify=
fortify_relation=
fortify_text=
if [ "$packaging" = apk ] && [ -n "$(apk_owner usr/include/fortify string.h)" ]; then
    library_facts fortify-headers
    fortify=",
$(library fortify-headers)"
    fortify_relation=",
    {
      \"spdxElementId\": \"SPDXRef-$name\",
      \"relationshipType\": \"CONTAINS\",
      \"relatedSpdxElement\": \"SPDXRef-fortify-headers\"
    }"
    fortify_text=$text
fi
# Another document has another namespace, even if it is about the same program.
namespace=https://spdx.org/spdxdocs/$name-$program_version-$sha256
namespace=$namespace-$(document "$namespace" | sha256sum | cut -c1-16)

# ---- the files -------------------------------------------------------------------------------

stage=
trap 'trap "" HUP INT TERM; [ -z "$stage" ] || rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM

write_all()
{
    document "$namespace" >"$stage/$name.spdx.json" &&
        cat "$top/LICENSE" >"$stage/echolab.txt" &&
        cat "$musl_text" >"$stage/musl.txt" &&
        cat "$inih_text" >"$stage/inih.txt" &&
        { [ -z "$fortify_text" ] || cat "$fortify_text" >"$stage/fortify-headers.txt"; } &&
        mkdir -p "$folder/licenses" &&
        mv -f "$stage/"*.txt "$folder/licenses/" &&
        mv -f "$stage/$name.spdx.json" "$folder/"
}

# The stage stands in the folder itself, so that a move is a rename.
mkdir -p "$folder" 2>/dev/null ||
    fail "$folder: cannot be made; allowed: a folder, or the name of a new one"
stage=$(mktemp -d "$folder/.sbom.XXXXXX" 2>/dev/null) || fail "$folder: cannot be written to"
write_all 2>/dev/null || fail "$folder: cannot write the files; is there space, and the right to?"
