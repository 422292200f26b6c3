#!/usr/bin/perl
# Every mistake in the configuration ends with exit code 2 and one line that begins with its
# place and says what is allowed; every value inside its range is taken.
use strict;
use warnings;
use feature 'state';
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX qw(mkfifo);
use Test::More;
BEGIN { delete $ENV{ECHOLAB_SANDBOX} }    # the defaults are looked at
use Echolab;

my $folder = tempdir(CLEANUP => 1);
my $file   = "$folder/test.ini";
my $bytes  = 180;    # of the longest server_address: a line of the file must hold it

my %prefix  = (server => 'SERVER', client => 'CLI');
my %section = (server => 'server', client => 'client');

# Runs a program with the text as its only file. (exit code, stdout, stderr)
sub run_with {
    my ($program, %how) = @_;
    my $path = exists $how{file} ? write_file($file, $how{file}) : $how{path} // '/dev/null';
    # Under ASan to look for leaks takes three times as long as all else: one run in ten does.
    state $count = 0;
    my %leaks = $count++ % 10 == 0 ? () : (ASAN_OPTIONS => 'detect_leaks=0');
    return run_program(["$Echolab::build/echo-$program", '-c', $path, @{ $how{args} // [] },
        $how{wish} // '--check-config'], env => { %leaks, %{ $how{env} // {} } }, seconds => 10);
}

# What is wrong with how a program refused: '' if nothing. Each place stands at the start of
# one line; one that begins with ':' is in the file.
sub complaints {
    my ($places, $code, $out, $err, $path) = @_;
    my @lines = split /\n/, $err, -1;
    my @wrong;
    push @wrong, "exit $code"               if $code ne '2';
    push @wrong, "stdout: $out"             if $out ne '';
    push @wrong, 'no newline at the end'    if (pop @lines // 'x') ne '';
    push @wrong, 'a byte that is no text'   if $err =~ /[^\n\x20-\x7e\x80-\xff]/;
    push @wrong, @lines . ' lines, expected ' . @$places if @lines != @$places;
    for my $i (0 .. $#$places) {
        my $place = $places->[$i] =~ /^(:|$)/ ? $path . $places->[$i] : $places->[$i];
        my $line  = $lines[$i] // '';
        push @wrong, "not at $place:" if index($line, "$place: ") != 0;
        push @wrong, 'does not say what is allowed' if $line !~ /allowed: \S/;
    }
    return @wrong ? join("\n", @wrong, "stderr: $err") : '';
}

sub refuses {
    my ($program, $what, $how, @places) = @_;
    my $path = $how->{path} // $file;
    my ($code, $out, $err) = run_with($program, %$how);
    is(complaints(\@places, $code, $out, $err, $path), '', "$program: $what: refused");
    return;
}

sub accepts {
    my ($program, $what, %how) = @_;
    my ($code, $out, $err) = run_with($program, wish => '--print-config', %how);
    is("$code $err", '0 ', "$program: $what: accepted");
    return $out;
}

# The names of a key in the environment and on the command line.
sub names_of {
    my ($program, $section, $name) = @_;
    my $full   = $section eq $program ? $name : "${section}_$name";
    my $option = $section =~ /^(load|examine)$/ ? $name eq 'target' ? $section : $name : $full;
    return ("$prefix{$program}_" . uc $full, '--' . $option =~ tr/_/-/r);
}

# ---- each key: its range and what is outside ---------------------------------------------

my @whole    = ('', '-1', '+1', '0x10', '1e3', '1.5', '1 2', '1,000', '1k', 'abc', 'yes',
    '18446744073709551616', '18446744073709551617', '1' . '0' x 40);
my @duration = ('', '5', '-5s', '+5s', '5 s', '5sec', '5S', '1d', '1.2.3s', 's', '1h30',
    '18446744073709551616ns', '99999999999999999999h', 'tcp://10.0.0.1:12345');
my @level    = ('', 'WARNING', 'inf', 'information', '1', 'debug,info');
my @format   = ('', 'TEX', 'tex', 'xml', '0');

# program, section, key, [good values and how they are printed], [bad values]
my @keys = (
    ['server', 'server', 'address',
        [['127.0.0.1'], ['::1'], ['0.0.0.0'], ['::ffff:192.0.2.1']],
        ['', 'localhost', '127.1', '0x7f.0.0.1', '256.0.0.1', '1.2.3.4.5', '127.0.0.1:7',
            '[::1]', '::1::', 'fe80::1%lo', ':' x 100]],
    ['server', 'server', 'port', [['0'], ['65535'], ['0007', '7']], [@whole, '65536', 'auto']],
    ['server', 'server', 'listen_backlog', [['1'], ['65535']], [@whole, '0', '65536']],
    ['server', 'server', 'max_connections', [['1'], ['1000000']], [@whole, '0', '1000001']],
    ['server', 'server', 'pending_memory', [['0'], ['64KiB'], ['1024GiB']], [@whole, '1025GiB', '1TiB', '64K', '1.5KiB']],
    ['server', 'server', 'workers', [['1'], ['64'], ['auto'], ['AUTO', 'auto']], [@whole, '0', '65', 'Automatic']],
    ['server', 'server', 'idle_timeout', [['0', '0s'], ['168h'], ['1.5s', '1s500ms']],
        [@duration, '168h1ns', '169h']],
    ['server', 'server', 'write_timeout', [['0s'], ['24h']], [@duration, '24h1ns']],
    ['server', 'server', 'drain_timeout', [['0s'], ['60m', '1h']], [@duration, '1h1ns']],
    ['server', 'server', 'identity', [['off'], ['on'], ['ON', 'on']], ['', 'yes', 'ask']],
    ['server', 'server', 'name', [['x'], ['x' x 63], ['hostname'], ['a=b']], ['', 'a b', 'a;b', 'a#b', 'x' x 64]],
    ['server', 'server', 'proxy_protocol', [['off'], ['required']], ['', 'on', 'v1', 'optional']],
    ['server', 'server', 'sandbox', [['auto'], ['on'], ['off'], ['On', 'on']], ['', 'yes', 'auto on']],
    ['server', 'log', 'level', [['debug'], ['info'], ['warn'], ['error'], ['DEBUG', 'debug'], ['Warn', 'warn']], [@level]],
    ['server', 'log', 'format', [['text'], ['json'], ['JSON', 'json']], [@format]],
    ['client', 'client', 'id', [['x'], ['x' x 63], ["caf\xc3\xa9"], ['a=b:c[d]']],
        ['', 'a b', 'a;b', 'a#b', ';', 'x' x 64, "\xff"]],
    ['client', 'client', 'identity', [['no'], ['ask'], ['ASK', 'ask']], ['', 'yes', 'on']],
    ['client', 'client', 'proxy_protocol', [['none'], ['v1'], ['v2'], ['V2', 'v2']], ['', 'v3', 'yes', '1']],
    ['client', 'client', 'server_address',
        [['s:1'], ['server:65535'], ['192.0.2.1:7'], ['[::1]:7'], [('h' x ($bytes - 6)) . ':65535']],
        ['', 'server', 'server:', ':7', 'server:0', 'server:65536', 'server:-1', 'server:7x',
            '::1:7', '[::1]', '[::1]7', '[::1:7', 'http://server:7', 'ser ver:7', 'server:7;',
            'server:18446744073709551617', 'a"b:7', 'a\\b:7', ('h' x ($bytes - 2)) . ':12']],
    ['client', 'client', 'loop_lapse', [['0s'], ['8760h']], [@duration, '8760h1ns']],
    ['client', 'client', 'loop_period', [['0s'], ['24h']], [@duration, '24h1ns']],
    ['client', 'client', 'timeout', [['1ms'], ['1h']], [@duration, '0', '999us', '1h1ns']],
    ['client', 'client', 'verify', [['yes'], ['no'], ['YES', 'yes'], ['No', 'no']], ['', 'true', 'TRUE', '1', 'y', 'yes no']],
    ['client', 'client', 'expect', [['any'], ['Any', 'any'], map { [$_] } qw(echo not-resolved refused unreachable timeout differs closed reset)],
        ['', 'none', 'echoed', 'timed out', 'not_resolved', 'echo,refused', '0']],
    ['client', 'client', 'sandbox', [['auto'], ['on'], ['off'], ['OFF', 'off']], ['', 'no', 'NO']],
    ['client', 'client', 'interval', [['0s'], ['24h']], [@duration, '24h1ns']],
    ['client', 'client', 'admin_address', [['none'], ['127.0.0.1:0'], ['[::1]:65535']], ['', '127.0.0.1', 'localhost:9', '127.0.0.1:65536', '127.0.0.1:x', '[::1]']],
    ['client', 'client', 'count', [['1'], ['1000000000000'], ['unlimited'], ['Unlimited', 'unlimited']], [@whole, '1000000000001']],
    ['client', 'load', 'target', [['none'], ['None'], ['s:1'], ['[::1]:7']], ['', 'server', 'nobody', 'server:0', 'a b:7']],
    ['client', 'load', 'connections', [['1'], ['1000000']], [@whole, '0', '1000001']],
    ['client', 'load', 'size', [['1'], ['16777216', '16MiB'], ['64KiB'],
            ['2kB', '2000'], ['3MB', '3000000'], ['4096', '4KiB'], ['1025']],
        [@whole, '0', '16777217', '17MiB', '0KiB', '1 KiB', '1kb', '1KB', '1.5KiB', '64K', 'KiB',
            '18014398509481984KiB', '1KiBKiB']],
    ['client', 'load', 'source', [['auto'], ['Auto'], ['127.0.0.1'], ['::1,127.0.0.2'], [join ',', ('10.0.0.1') x 16]],
        ['', 'Automatic', 'localhost', '127.0.0.1,', ',127.0.0.1', '127.0.0.1,,127.0.0.2', '127.0.0.1 127.0.0.2',
            '127.0.0.1:0', join(',', ('10.0.0.1') x 17), '1' x 150]],
    ['client', 'load', 'duration', [['0s'], ['8760h']], [@duration, '8760h1ns']],
    ['client', 'load', 'warmup', [['0s'], ['1h']], [@duration, '1h1ns']],
    ['client', 'load', 'messages', [['1'], ['1000000000000'], ['unlimited']], [@whole, '1000000000001']],
    ['client', 'load', 'rate', [['1'], ['10000000'], ['closed'], ['CLOSED', 'closed'], ['0', 'closed'], ['0/2m', 'closed'], ['0007', '7'], ['1/2m'], ['1/120s', '1/2m'],
            ['100000/24h'], ['100000/10ms'], ['5/1s', '5'], ['10000000/1s', '10000000'], ['3/1.5s', '3/1s500ms']],
        [@whole, '10000001', '1/', '/1s', '/', '1/s', '1/2', '1/2m/2m', '1 / 2m', '1/-2m', '1/0', '1/0s', '1/99ns', '100001/24h',
            '100000/9.9ms', '10000001/1s', '1/24h1ns', '1/18446744073709551616ns', '18446744073709551616/1s', '1.5/1m', 'closed/1s']],
    ['client', 'load', 'tick', [['0s'], ['1s']], [@duration, '1s1ns']],
    ['client', 'load', 'pipeline', [['1'], ['1024']], [@whole, '0', '1025']],
    ['client', 'load', 'reconnect', [['yes'], ['no'], ['YES', 'yes']], ['', 'true', 'TRUE']],
    ['client', 'load', 'threads', [['1'], ['64']], [@whole, '0', '65']],
    ['client', 'load', 'retry', [['0s'], ['1m']], [@duration, '1m1ns']],
    ['client', 'load', 'address_policy', [['first'], ['round-robin'], ['Round-Robin', 'round-robin']], ['', 'last', 'round_robin']],
    ['client', 'load', 'report', [['text'], ['json'], ['csv'], ['none'], ['prometheus'], ['hgrm'], ['tap'], ['junit'], ['CSV', 'csv']], ['', 'xml', 'Prometheus text']],
    ['client', 'load', 'timeline', [['0s'], ['0', '0s'], ['100ms'], ['24h']], [@duration, '24h1ns']],
    ['client', 'examine', 'target', [['none'], ['None'], ['s:1'], ['[::1]:7']], ['', 'server', 'nobody', 'server:0', 'a b:7']],
    ['client', 'examine', 'check', [['all'], ['All'], ['one-byte'], ['idle,one-byte']],
        ['', ',', 'one-byte,', ',one-byte', 'a,,b', 'one-byte, idle', 'x' x 190]],
    ['client', 'examine', 'idle', [['0s'], ['24h']], [@duration, '24h1ns']],
    (map { ['client', 'load', $_, [['0'], ['1'], ['1000000000000'], ['off'], ['OFF', 'off']], [@whole, '1000000000001', 'none', 'unlimited']] } 'max_lost', 'max_errors', 'max_moved'),
    ['client', 'load', 'max_p99', [['0', '0s'], ['1ns'], ['24h'], ['off'], ['Off', 'off']], [@duration, '24h1ns', 'none', '1%']],
    ['client', 'load', 'max_outage', [['0', '0s'], ['8760h'], ['off']], [@duration, '8760h1ns', 'none']],
    ['client', 'log', 'level', [['debug'], ['info'], ['warn'], ['error'], ['DEBUG', 'debug'], ['Warn', 'warn']], [@level]],
    ['client', 'log', 'format', [['text'], ['json'], ['JSON', 'json']], [@format]],
);

for (@keys) {
    my ($program, $section, $name, $good, $bad) = @$_;
    my ($env, $option) = names_of($program, $section, $name);
    my %places = (
        file   => sub { return (file => "[$section]\n\n$name = $_[0]\n") },
        env    => sub { return (env  => { $env => $_[0] }) },
        option => sub { return (args => [$option, $_[0]]) },
    );
    my %place_of = (file => ":3: $name", env => $env, option => $option);
    my $turn = 0;
    for my $where (sort keys %places) {
        # An emulator is slow: there each value stands in one of the three places, in turn.
        my $n = $turn++;
        my $is_due = sub { return $Echolab::build !~ /aarch64/ || $n++ % 3 == 0 };
        for (grep { $is_due->() } @$good) {
            my ($value, $printed) = ($_->[0], $_->[-1]);
            my $out = accepts($program, "$where: $name = $value", $places{$where}->($value));
            like($out, qr/^\Q$name = $printed\E$/m, "$program: $where: $name = $value: printed as $printed");
        }
        for my $value (grep { $is_due->() } @$bad) {
            # A value too long for a line of the file is that line's mistake.
            my $is_long = $where eq 'file' && length "$name = $value" > 197;
            refuses($program, "$where: $name = " . substr($value, 0, 40) =~ s/#/\\#/r,
                { $places{$where}->($value) }, $is_long ? ':3' : $place_of{$where});
        }
    }
}

# ---- the file's form ---------------------------------------------------------------------

my $bom  = "\xef\xbb\xbf";
for my $program ('server', 'client') {
    my $section = $section{$program};
    my ($key, $good, $other) = $program eq 'server' ? ('port', '7', 'workers = 1')
        : ('id', 'x', 'verify = no');
    my $start = "[$section]\n$other\n";
    my @cases = (
        ['a NUL',                        "$start$key = $good\0\n",          ':3'],
        ['a NUL in a comment',           "$start; \0\n",                    ':3'],
        ['a NUL alone at the end',       "$start\0",                        ':3'],
        ['BOM in the middle, a key',     "$start$bom$key = $good\n",        ":3: \\xef\\xbb\\xbf$key"],
        ['BOM in the middle, a section', "$start$bom\[log]\n",             ':3'],
        ['BOM twice',                    "$bom$bom\[$section]\n",          ':1'],
        ['UTF-16',                       "\xff\xfe[\0l\0o\0g\0]\0\r\0\n\0", ':1'],
        ['198 bytes, a comment',         "$start;" . 'x' x 197 . "\n",      ':3'],
        ['198 bytes, a key',             "$start$key = $good ;" . 'x' x (190 - length $key) . "yyyy\n", ':3'],
        ['198 bytes, CRLF',              "$start;" . 'x' x 197 . "\r\n",    ':3'],
        ['198 bytes, the last line',     "$start;" . 'x' x 197,             ':3'],
        ['60,000 bytes in a line',       "$start;" . 'x' x 60_000,          ':3'],
        ['unknown section',              "[nonsense]\n$key = $good\n",      ':1'],
        ['unknown section, long',        '[' . 'x' x 150 . "]\n",           ':1'],
        ['section in capitals',          '[' . uc($section) . "]\n",        ':1'],
        ['blanks inside the brackets',   "[ $section ]\n",                  ':1'],
        ['an empty section\'s name',     "$start\[]\nx = 1\n",              ':3'],
        ['key outside of a section',     "$key = $good\n[log]\n",           ":1: $key"],
        ['text after a section',         "[$section] x\n$key = $good\n",    ':1'],
        ['a bracket after a section',    "[$section]]\n$key = $good\n",     ':1'],
        ['a key after a section',        "[$section] $key = $good\n",       ':1'],
        ['section twice',                "$start\[log]\n[$section]\n",      ':4'],
        ['section twice, empty',         "[log]\n[log]\n",                  ':2'],
        ['unclosed bracket',             "[$section\n$key = $good\n",       ':1'],
        ['unclosed before a comment',    "[$section ;]\n$key = $good\n",    ':1'],
        ['unclosed at the end',          "$start\[",                        ':3'],
        ['section behind a form feed',   "$start\f[nonsense]\n",            ':3'],
        ['section behind a vertical tab', "$start\x0b[log]\n",              ':3'],
        ['section behind a return',      "$start\r[nonsense]\n",            ':3'],
        ['returns as newlines',          "; all\r[$section]\r$key = \r",    ':1'],
        ['unknown key',                  "${start}nonsense = 1\n",          ':3: nonsense'],
        ['unknown key, terminal',        "${start}n\x1b[31m = 1\n",         ':3'],
        ['unknown section, terminal',    "$start\[\x1b[31m]\n",             ':3'],
        ['key in capitals',              "$start\u$key = $good\n",          ":3: \u$key"],
        ['key of another section',       "${start}level = info\n",          ':3: level'],
        ['a hyphen for an underscore',   "${start}loop-lapse = 1s\n",       ':3: loop-lapse'],
        ['a key in quotes',              "$start\"$key\" = $good\n",        ":3: \"$key\""],
        ['key twice',                    "$start$key = $good\n$key = $good\n", ":4: $key"],
        ['key twice, indented',          "$start$key = $good\n  $key = $good\n", ":4: $key"],
        ['key three times',              "$start$key=$good\n$key=$good\n$key=$good", ":4: $key", ":5: $key"],
        ['no =',                         "$start$key $good\n",              ':3'],
        ['= behind a comment',           "$start$key ; = $good\n",          ':3'],
        ['a word',                       "${start}nonsense",                ':3'],
        ['XML',                          "<port>7</port>\n",                ':1'],
        ['JSON',                         "{\n}\n",                          ':1', ':2'],
        ['an ELF file',                  "\x7fELF\2\1\1\0\0\0\n",           ':1'],
        ['16 lines',                     "$start" . "nonsense\n" x 16,      map { ":$_" } 3 .. 18],
        ['65537 bytes',                  "$start" . "\n" x (65537 - length $start), ''],
        ['10 MB',                        "$start" . "\n" x 10_000_000,      ''],
        ['10 MB in a line',              'x' x 10_000_000,                  ''],
    );
    for (@cases) {
        my ($what, $text, @places) = @$_;
        refuses($program, "file: $what", { file => $text }, @places);
    }

    my $line = "$key = $good ;" . 'x' x (197 - length "$key = $good ;");
    for (
        ['197 bytes',                   "$start$line\n"],
        ['197 bytes, CRLF',             "[$section]\r\n$line\r\n"],
        ['197 bytes, the last line',    "$start$line"],
        ['65536 bytes',                 "$start\n" . "\n" x (65534 - length "$start$key=$good") . "\n$key=$good"],
        ['BOM, CRLF, no last newline',  "$bom\[$section]\r\n$key: $good"],
        ['comments and indentation',    "# a\n  ; b\n [$section] ; c\n\t$key = $good ; d\n  $other\n"],
    ) {
        my ($what, $text) = @$_;
        my $out = accepts($program, "file: $what", file => $text);
        like($out, qr/^$key = $good$/m, "$program: file: $what: read");
    }
}

# ---- what is no file ---------------------------------------------------------------------

write_file($file, "[log]\n");
mkfifo("$folder/fifo", 0600) or die "mkfifo: $!";
symlink "$folder/loop", "$folder/loop";
symlink "$folder/nothing", "$folder/dangling";
my $socket  = IO::Socket::UNIX->new(Local => "$folder/socket", Listen => 1) or die "socket: $!";
my %no_file = (
    'a directory'        => $folder,
    'missing'            => "$folder/missing.ini",
    'below a file'       => "$file/x.ini",
    'a FIFO'             => "$folder/fifo",
    'a socket'           => "$folder/socket",
    'a loop of links'    => "$folder/loop",
    'a dangling link'    => "$folder/dangling",
    '/dev/zero'          => '/dev/zero',
    '/dev/full'          => '/dev/full',
    '/dev/urandom'       => '/dev/urandom',
    'a path too long'    => "$folder/" . 'x' x 300,
);
for my $program ('server', 'client') {
    for my $what (sort keys %no_file) {
        refuses($program, "path: $what", { path => $no_file{$what} }, '');
    }
    SKIP: {
        skip 'root reads every file', 1 if $> == 0;
        chmod 0000, $file;
        refuses($program, 'path: unreadable', { path => $file }, '');
        chmod 0600, $file;
    }
    my ($code, $out, $err) = run_with($program, path => '');
    ok($code eq '2' && $out eq '' && $err =~ /\A[^:\n]+: .*allowed: .*\n\z/,
        "$program: path: empty: the message has a place");
    ($code, $out, $err) = run_with($program, path => "$folder/\x1b[31m\n\xe2\x80\xae");
    ok($code eq '2' && $out eq '' && $err =~ /\A\Q$folder\E[\x20-\x7e]+: .*allowed: .*\n\z/
            && $err !~ /\xe2\x80\xae/,
        "$program: path: one line that a terminal does not obey");
    write_file($file, "[log]\n\nlevel = loud\n");
    ($code, $out, $err) = run_with($program, path => $folder . '/.' x 450 . '/test.ini');
    ok($code eq '2' && $err =~ /\A\S+:3: level: .*allowed: .*\n\z/,
        "$program: path: a long one does not hide line and key");
}
close $socket;

# ---- environment -------------------------------------------------------------------------

for my $value ('tcp://10.0.0.1:12345', 'tcp://[fd00::1]:12345') {
    my ($code, $out, $err) = run_with('server', env => { SERVER_PORT => $value });
    is($code, 2, "SERVER_PORT=$value: exit 2");
    is($out, '', "SERVER_PORT=$value: nothing on stdout");
    like($err, qr/\ASERVER_PORT: '\Q$value\E' .*Kubernetes.*enableServiceLinks: false.*; allowed: 0 to 65535\n\z/,
        "SERVER_PORT=$value: the way out is said");
}
{   # The command line wins over a service link, and over that alone.
    my $link = 'tcp://10.0.0.1:12345';
    my $out  = accepts('server', 'SERVER_PORT is a service link, --port a port', env => { SERVER_PORT => $link }, args => ['--port', 7]);
    like($out, qr/^port = 7$/m, 'SERVER_PORT is a service link, --port a port: the port counts');
    refuses('server', 'SERVER_PORT is a service link, --port is wrong', { env => { SERVER_PORT => $link }, args => ['--port', 'x'] }, '--port');
    refuses('server', 'SERVER_PORT is wrong, --port a port', { env => { SERVER_PORT => 'tcp' }, args => ['--port', 7] }, 'SERVER_PORT');
}

# The other name of [log] level, in each place where a key has a name.
for my $program ('server', 'client') {
    my $env = "$prefix{$program}_LOG_LEVEL";
    for my $case (
        ['file',   file => "[log]\nlogging_level = WARN\n"],
        ['env',    env  => { LOGGING_LEVEL => 'WARN' }],
        ['option', args => ['--logging-level', 'WARN']],
        ['option over env',  args => ['--logging-level=warn'], env  => { $env          => 'error' }],
        ['env over file',    env  => { LOGGING_LEVEL => 'warn' }, file => "[log]\nlevel = error\n"],
    ) {
        my ($what, %how) = @$case;
        like(accepts($program, "logging_level: $what", %how), qr/^level = warn$/m, "$program: logging_level: $what: it is read");
    }
    refuses($program, 'logging_level: wrong in all places', {
        file => "[log]\nlogging_level = loud\n", env => { LOGGING_LEVEL => 'loud' }, args => ['--logging-level', 'loud'] },
        ':2: logging_level', 'LOGGING_LEVEL', '--logging-level');
    refuses($program, 'logging_level and level: one file',        { file => "[log]\nlevel = info\nlogging_level = info\n" }, ':3: logging_level');
    refuses($program, 'logging_level and level: one environment', { env  => { LOGGING_LEVEL => 'info', $env => 'info' } }, 'LOGGING_LEVEL');
    refuses($program, 'logging_level and level: one command line', { args => ['--log-level', 'info', '--logging-level', 'info'] }, '--logging-level');
    refuses($program, 'logging_level: of another section', { file => "[$program]\nlogging_level = info\n" }, ':2: logging_level');
}

refuses('server', 'env: several', { env => { SERVER_PORT => 'x', SERVER_WORKERS => '',
        SERVER_LOG_LEVEL => 'x', SERVER_NONSENSE => 'x', CLI_ID => '' } },
    qw(SERVER_PORT SERVER_WORKERS SERVER_LOG_LEVEL));
refuses('client', 'env: several', { env => { CLI_ID => 'x y', CLI_TIMEOUT => '0',
        CLI_LOG_FORMAT => 'x', CLI_PORT => 'x', SERVER_PORT => '' } },
    qw(CLI_ID CLI_TIMEOUT CLI_LOG_FORMAT));
refuses('server', 'env: a terminal\'s escapes', { env => { SERVER_ADDRESS => "\x1b]0;x\a\n" } },
    'SERVER_ADDRESS');
refuses('client', 'env: a terminal\'s escapes', { env => { CLI_ID => "\x1b[2J\r\nx\xe2\x80\xae" } },
    'CLI_ID');
refuses('server', 'env: 100,000 bytes', { env => { SERVER_PORT => '1' x 100_000 } }, 'SERVER_PORT');
refuses('client', 'env: 100,000 bytes', { env => { CLI_SERVER_ADDRESS => 'x' x 100_000 . ':7' } },
    'CLI_SERVER_ADDRESS');

# ---- command line ------------------------------------------------------------------------

for (
    ['unknown option',                ['--bogus'],                     '--bogus'],
    ['unknown option with a value',   ['--bogus=1'],                   '--bogus'],
    ['unknown option, long',          ['--' . 'x' x 90],               '--' . 'x' x 90],
    ['unknown letter',                ['-p'],                          '-p'],
    ['part of an option',             ['--log-l', 'info'],             '--log-l', 'info'],
    ['option in capitals',            ['--LOG-LEVEL=info'],            '--LOG-LEVEL'],
    ['option with underscore',        ['--log_level=info'],            '--log_level'],
    ['option with its section',       ['--server-port=1'],             '--server-port'],
    ['option of three dashes',        ['---log-level=info'],           '---log-level'],
    ['dashes alone',                  ['--'],                          '--'],
    ['a dash alone',                  ['-'],                           '-'],
    ['positional argument',           ['word'],                        'word'],
    ['several of them',               ['one', 'two'],                  'one', 'two'],
    ['a terminal\'s escapes',         ["--\x1b[31m"],                  '--\x1b[31m'],
    ['option without value',          ['--log-level='],                '--log-level'],
    ['option twice',                  ['--log-level', 'info', '--log-level=info'], '--log-level'],
    ['option three times',            [map { "--log-level=$_" } qw(info warn info)], '--log-level', '--log-level'],
    ['-c twice',                      ['-c', '/dev/null'],             '--config'],
    ['--config and -c',               ['--config=/dev/null'],          '--config'],
    ['-cFILE',                        ['-c/dev/null'],                 '-c/dev/null'],
    ['--check-config=yes',            ['--check-config=yes'],          '--check-config'],
    ['--check-config=',               ['--check-config='],             '--check-config'],
    ['--check-config twice',          ['--check-config'],              '--check-config'],
    ['--help=yes',                    ['--help=yes'],                  '--help'],
    ['--version=2',                   ['--version=2'],                 '--version'],
    ['help behind a mistake',         ['--bogus', '--help'],           '--bogus'],
) {
    my ($what, $arguments, @places) = @$_;
    for my $program ('server', 'client') {
        next if $what =~ /with its section/ && $program eq 'client';
        # The client takes the first word for its server's address, which is looked at later.
        my @words = grep { /^\w/ } @places;
        my @ours  = $program eq 'server' || !@words ? @places : ((grep { $_ ne $words[0] } @places), '--server-address');
        refuses($program, "option: $what", { args => $arguments }, @ours);
    }
}
refuses('client', 'an address that is no option: without a port', { args => ['localhost'] },            '--server-address');
refuses('client', 'an address that is no option: twice',          { args => ['a:7', 'b:7'] },           'b:7');
refuses('client', 'an address that is no option: and the option', { args => ['a:7', '--server-address=b:7'] }, '--server-address');
like(accepts('client', 'an address that is no option', args => ['[::1]:7']), qr/^server_address = \[::1\]:7$/m, 'client: an address that is no option: it is the server\'s');
for my $program ('server', 'client') {
    my $path = "$Echolab::build/echo-$program";
    for (['-c', '--config'], ['--config', '--config'], ['--log-level', '--log-level']) {
        my ($last, $place) = @$_;
        my @result = run_program([$path, $last], seconds => 10);
        is(complaints([$place], @result), '', "$program: option: $last at the end: refused");
    }
    my ($code, $out, $err) = run_with($program, args => ['']);
    ok($code eq '2' && $out eq '' && $err =~ /\A[^:\n]+: .*allowed: .*\n\z/,
        "$program: option: an empty argument: the message has a place");
    ($code, $out, $err) = run_with($program, args => ['--print-config']);
    ok($code eq '2' && $out eq '' && $err =~ /\A\S+: .*allowed: .*\n\z/,
        "$program: option: two things to do");
    ($code, $out, $err) = run_program([$path, '--help', '--bogus', 'word'], seconds => 10);
    is("$code $err", '0 ', "$program: option: nothing behind --help is looked at");
}

# ---- all places at once ------------------------------------------------------------------

refuses('server', 'mistakes in all places', {
        file => "[server]\nport = x\n[log]\nlevel = x\n",
        env  => { SERVER_PORT => 'x', SERVER_LOG_LEVEL => 'x' },
        args => ['--bogus', '--port', 'x', '--log-level', 'x'],
    },
    '--bogus', ':2: port', ':4: level', 'SERVER_PORT', 'SERVER_LOG_LEVEL', '--port', '--log-level');
refuses('client', 'a mistake that later places hide', {
        file => "[client]\nid =\n",
        env  => { CLI_ID => '' },
        args => ['--id', 'x'],
    },
    ':2: id', 'CLI_ID');

# ---- the exercise's names ----------------------------------------------------------------

SKIP: {
    skip 'this machine has /etc/echolab', 4 if -e '/etc/echolab';
    for (
        ['server', { SERVER_PORT => '12345', SERVER_LISTEN_BACKLOG => '5' },
            ['port = 12345', 'listen_backlog = 5']],
        ['client', { CLI_ID => '1', CLI_SERVER_ADDRESS => 'server:12345',
                CLI_LOOP_LAPSE => '1m2s', CLI_LOOP_PERIOD => '10s' },
            ['id = 1', 'server_address = server:12345', 'loop_lapse = 1m2s', 'loop_period = 10s']],
    ) {
        my ($program, $env, $lines) = @$_;
        my ($code, $out, $err) = run_program(["$Echolab::build/echo-$program", '--print-config'],
            env => $env, seconds => 10);
        is("$code $err", '0 ', "$program: the exercise's environment, no file: accepted");
        is(join('|', grep { my $line = $_; grep { $_ eq $line } @$lines } split /\n/, $out),
            join('|', @$lines), "$program: the exercise's environment, no file: printed");
    }
}

done_testing();
