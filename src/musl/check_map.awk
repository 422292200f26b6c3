# Reads a linker's map with a cross reference table (-Wl,-Map=FILE,--cref). Only one object may
# use a function that --defsym replaced: the one for which the replacement was checked
# (README.md). Prints each other object; exit 1 then.
BEGIN {
    allowed["fopen"] = allowed["fopen64"] = allowed["fgets"] = allowed["fclose"] = "ini"
}

# An assignment of the command line: "0x... snprintf = format".
$3 == "=" && ($2 in allowed) { replaced[$2] = $4 }
$2 == "=" && ($1 in allowed) { replaced[$1] = $3 }

/^Cross Reference Table/ { in_table = 1; next }
!in_table { next }
/^[^ ]/ { symbol = $1; object = $2 }
/^ / { object = $1 }
symbol in replaced {
    name = object
    gsub(/.*[\/(]|\)$/, "", name)
    sub(/\..*/, "", name)
    if (name != allowed[symbol]) {
        printf "%s: %s wants %s(), which is %s() here; allowed: %s only\n", FILENAME, object, symbol,
            replaced[symbol], allowed[symbol] >"/dev/stderr"
        bad = 1
    }
}

END {
    if (!in_table) {
        printf "%s: no cross reference table\n", FILENAME >"/dev/stderr"
        bad = 1
    }
    exit bad
}
