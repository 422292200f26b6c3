#!/usr/bin/perl
# The server against itself and against its peers: server on one core, generator on the
# other, everything interleaved, medians. Prints a table with ratios, writes
# build/bench/results.json, exits with 1 when a demanded figure does not hold.
#
# Each measurement has a network namespace of its own: no packet filter, no connection
# tracking (whose table a few seconds of connect-and-close fill), no connections in
# TIME_WAIT from the measurement before.
#
#     bench.pl [--runs 5] [--seconds 1] [--peers name,name] [--rows REGEX]
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use List::Util qw(max min);
use Time::HiRes qw(sleep);

my ($runs, $seconds, $only, $rows) = (5, 1, '', '');
GetOptions('runs=i' => \$runs, 'seconds=f' => \$seconds, 'peers=s' => \$only, 'rows=s' => \$rows)
    or die "usage: bench.pl [--runs N] [--seconds S] [--peers LIST] [--rows REGEX]\n";

my $idle      = 9000;
my $generator = 'build/bench/generator';
# Engines are compared without the sandbox, which the peers have not; it has rows of its own.
my @bare      = qw(--drain-timeout 0 --address 127.0.0.1 --sandbox);
my @ours      = (@bare, qw(off --log-level warn --port));
my @logging   = (@bare, qw(off --log-level));
my %command   = (
    'echo-server' => ['build/echo-server', @ours],
    'plain poll'  => ['build/bench/plain-poll', @ours],
    'log info'    => ['build/echo-server', @logging, 'info',  '--port'],
    'log debug'   => ['build/echo-server', @logging, 'debug', '--port'],
    'sandbox'     => ['build/echo-server', @bare, qw(on --log-level warn --port)],
    libuv         => ['build/bench/uv_echo'],
    libevent      => ['build/bench/event_echo'],
    node          => ['node', 'test/bench/peers/node_echo.js'],
    asyncio       => ['python3', 'test/bench/peers/asyncio_echo.py'],
    go            => ['build/bench/go_echo'],
);
my @peers = grep { !$only || $only =~ /\b$_\b/ } grep { is_there($_) }
    qw(libuv libevent node asyncio go);
my $port = 12345;
my %pids;

# As root, or in a user namespace.
my @user = $> == 0 ? () : ('--user', '--map-root-user');
system("unshare @user --net ip link set lo up") == 0
    or die "cannot make a network namespace: be root, or allow user namespaces\n";

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
END { my $code = $?; kill 'KILL', keys %pids; $? = $code }

sub is_there {
    my ($program) = $command{ $_[0] }[0];
    return $program =~ m{/} ? -x $program : system("command -v $program >/dev/null 2>&1") == 0;
}

# Start a server on the first core, its output into the file $log.
sub start {
    my ($name, $log) = @_;
    my $pid = fork // die;
    if ($pid == 0) {
        open STDOUT, '>', $log // '/dev/null' or die;
        $ENV{GOMAXPROCS} = 1;
        exec 'unshare', @user, '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh',
            'taskset', '-c', 0, @{ $command{$name} }, $port or exit 127;
    }
    $pids{$pid} = 1;
    for (1 .. 500) {    # until it is in its namespace
        my $comm = `cat /proc/$pid/comm`;
        return $pid if $comm !~ /^(perl|bench|unshare|sh|taskset)/;
        sleep 0.01;
    }
    die "$name does not start\n";
}

sub stop {
    my ($pid) = @_;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    delete $pids{$pid};
}

# The generator's command on the second core; it waits until the server answers.
sub generate {
    my ($pid, @load) = @_;
    my @enter = ('nsenter', '-t', $pid, '--net', @user ? ('--user', '--preserve-credentials') : ());
    return (@enter, 'timeout', 120, 'taskset', '-c', 1, $generator, $port, @load);
}

# One measurement: a fresh server. Returns its figures. The load "probe" is echo-client's.
sub measure {
    my ($name, @load) = @_;
    return measure_by_client($name, @load) if $load[0] eq 'probe';
    my $log  = $name =~ /^log/ ? 'build/bench/log' : undef;
    my $pid  = start($name, $log);
    my $line = join ' ', 'exec', generate($pid, @load), '2>&1';
    $line = `$line`;
    stop($pid);
    unlink $log if $log;
    my %figures = $line =~ /(\w+)=([\d.]+)/g;
    print STDERR "$name @load: $line" if !%figures;
    return %figures ? \%figures : undef;
}

sub measure_by_client {
    my ($name, undef, $active, undef, $size, $duration) = @_;
    my $pid     = start($name);
    system(join(' ', generate($pid, 'hold', 0, 0, 1, 0), '>/dev/null')) == 0    # until it answers
        or die "$name does not answer\n";
    my @command = generate($pid);
    splice @command, -2, 2, 'build/echo-client', '--load', "127.0.0.1:$port", '--connections', $active,
        '--size', $size, '--warmup', '300ms', '--duration', "${duration}s", '--json',
        '--log-level', 'error';
    my $json = `exec @command`;
    stop($pid);
    my $r = eval { JSON::PP::decode_json($json) } or do { print STDERR "$name @_: $json\n"; return undef };
    return { messages_per_s => $r->{messages_per_s}, p99_us => $r->{reply}{p99_ns} / 1000, client_cpu_ns => $r->{cpu_ns_per_message} };
}

sub median { my @v = sort { $a <=> $b } @_; return $v[$#v / 2] }

# Several servers under several loads, all interleaved, each run in another order; returns
# {"server load"}{figure}. In {"server load"}{"all FIGURE"} are the single runs.
sub interleave {
    my (@pairs) = @_;    # [server, load...]
    my %all;
    my $runs = $runs * (ref $pairs[0] ? 1 : shift @pairs);    # optional: so many times the runs
    for my $run (1 .. $runs) {
        for my $pair (map { $pairs[($_ + $run) % @pairs] } 0 .. $#pairs) {
            my ($name, @load) = @$pair;
            print STDERR "\rrun $run of $runs: $name @load          " if -t STDERR;
            my $figures = measure($name, @load) or next;
            push @{ $all{"$name @load"}{$_} }, $figures->{$_} for keys %$figures;
        }
    }
    print STDERR "\r", " " x 70, "\r" if -t STDERR;
    my %medians;
    for my $k (keys %all) {
        $medians{$k} = { map { ($_ => median(@{ $all{$k}{$_} }), "all $_" => $all{$k}{$_}) } keys %{ $all{$k} } };
    }
    return \%medians;
}

my (@rows, %json);

# what, our figure, what it is compared with, the demand, does it hold
sub row {
    my ($what, $figure, $beside, $demand, $holds) = @_;
    push @rows, [$what, $figure, $beside, $demand, !defined $holds ? '' : $holds =~ /^(yes|tie|NO)$/ ? $holds : $holds ? 'yes' : 'NO'];
}

# How a figure of one measurement compares with that of another: the median of the single
# runs' quotients. A shared machine is fast and slow by turns, for seconds; the measurements
# of one run are near each other in time.
sub quotients {
    my ($r, $figure, $ours, $theirs) = @_;
    my ($x, $y) = map { $r->{$_}{"all $figure"} // [] } $ours, $theirs;
    return sort { $a <=> $b } map { $x->[$_] / max($y->[$_], 1e-9) } 0 .. min($#$x, $#$y);
}

sub quotient { return median(quotients(@_)) // 0 }

# Does a quotient reach 1.0? "tie" when the median does not, but 1.0 lies in the middle half
# of the single runs: then the runs cannot tell the two apart.
sub reaches_one {
    my @q = quotients(@_);
    return median(@q) >= 1.0 ? 'yes' : $q[int(0.75 * $#q)] >= 1.0 ? 'tie' : 'NO';
}

sub against_peers {
    my ($what, $figure, @load) = @_;
    return if $what !~ /$rows/;
    # With one connection all are within a few percent: more runs.
    my $r = interleave($load[1] == 1 ? 3 : 1, map { [$_, @load] } 'echo-server', 'plain poll', @peers);
    my %of = map { ($_ => $r->{"$_ @load"}{$figure} // 0) } 'echo-server', 'plain poll', @peers;
    my %ratio = map { ($_ => quotient($r, $figure, "echo-server @load", "$_ @load")) } 'plain poll', @peers;
    my ($best) = sort { $ratio{$a} <=> $ratio{$b} } @peers;
    row($what, sprintf('%.0f', $of{'echo-server'}),
        join(', ', map { sprintf '%s %.2f', $_, 1 / $ratio{$_} } 'plain poll', @peers),
        $best ? (sprintf('%.2f of the best peer (%s); >= 1.0', $ratio{$best}, $best), reaches_one($r, $figure, "echo-server @load", "$best @load")) : 'no peer');
    $json{$what} = { map { ($_ => { median => $of{$_}, runs => $r->{"$_ @load"}{"all $figure"} }) } keys %of };
}

# ---- ourselves with and without idle connections -------------------------------------------
for my $active (100, 1) {
    next if 'idle' !~ /$rows/;
    my @with = ('pingpong', $active, $idle, 64, $seconds);
    my @bare = ('pingpong', $active, 0, 64, $seconds);
    my $r = interleave(['echo-server', @bare], ['echo-server', @with], ['plain poll', @with]);
    my ($bare, $with, $plain) = map { $r->{$_} } "echo-server @bare", "echo-server @with", "plain poll @with";
    my $quotient = quotient($r, 'messages_per_s', "echo-server @with", "echo-server @bare");
    row("$active active + $idle idle, messages/s", sprintf('%.0f', $with->{messages_per_s}),
        sprintf('%.0f with 0 idle; plain poll %.0f', $bare->{messages_per_s}, $plain->{messages_per_s}),
        sprintf('ratio %.2f; >= 0.95', $quotient), $quotient >= 0.95);
    if ($active == 100) {
        my $p99 = quotient($r, 'p99_us', "echo-server @with", "echo-server @bare");
        row("$active active + $idle idle, p99 us", $with->{p99_us},
            "$bare->{p99_us} with 0 idle; plain poll $plain->{p99_us}",
            sprintf('ratio %.2f; <= 1.5', $p99), $p99 <= 1.5);
    }
    $json{"idle_$active"} = { with => $with, without => $bare, plain_poll => $plain };
}

# ---- a cold connection's message -----------------------------------------------------------
if ('cold' =~ /$rows/) {
    my $r = measure('echo-server', 'cold', 100, $idle, 64, 200) // {};
    row('message on a connection cold for 10 s, worst of 200, us', $r->{probe_worst_us} // 'none',
        '100 others flat out, ' . $idle . ' idle', '<= 30000',
        defined $r->{probe_worst_us} && $r->{probes} == 200 && $r->{probe_worst_us} <= 30000);
    $json{cold} = $r;
}

# ---- at rest -------------------------------------------------------------------------------
if ('rest' =~ /$rows/) {
    my $pid    = start('echo-server');
    my $holder = fork // die;
    if ($holder == 0) {
        open STDOUT, '>', '/dev/null';
        exec generate($pid, 'hold', 0, 10000, 64, 30) or exit 127;
    }
    $pids{$holder} = 1;
    sleep 3;
    my $ticks = sub {
        open my $f, '<', "/proc/$pid/stat" or die;
        my @fields = split ' ', readline($f) =~ s/^.*\) //r;
        return $fields[11] + $fields[12];
    };
    my $before = $ticks->();
    sleep 10;
    my $percent = ($ticks->() - $before) / 10;    # 100 ticks are a second
    open my $f, '<', "/proc/$pid/status" or die;
    my ($rss) = join('', <$f>) =~ /VmRSS:\s+(\d+)/;
    row('CPU with 10,000 connections, all quiet, %', $percent, '10 s', '< 0.5', $percent < 0.5);
    row('resident memory with 10,000 idle, KiB', $rss, '', '<= 600', $rss <= 600);
    $json{rest} = { cpu_percent => $percent, rss_kib => $rss };
    stop($_) for $holder, $pid;
}

# ---- the log -------------------------------------------------------------------------------
if ('log' =~ /$rows/) {
    my @load = ('pingpong', 50, 0, 64, $seconds);
    my $r = interleave(['log info', @load], ['log debug', @load]);
    my ($info, $debug) = map { $r->{"$_ @load"}{messages_per_s} } 'log info', 'log debug';
    my $ratio = quotient($r, 'messages_per_s', "log debug @load", "log info @load");
    row('a log line per message (debug), 50 connections, messages/s', sprintf('%.0f', $debug),
        sprintf('%.0f at info; both into a file', $info),
        sprintf('ratio %.2f; >= 0.60', $ratio), $ratio >= 0.60);
    $json{log} = { debug => $debug, info => $info };
}

# ---- the sandbox ---------------------------------------------------------------------------
for my $case (['50 connections, messages/s', 'pingpong', 50], ['connect-send-receive-close, per s', 'cycles', 50]) {
    next if 'sandbox' !~ /$rows/;
    my ($what, @load) = (@$case, 0, 64, $seconds);
    my $r = interleave(3, ['sandbox', @load], ['echo-server', @load]);
    my ($with, $without) = map { $r->{"$_ @load"}{messages_per_s} } 'sandbox', 'echo-server';
    my $ratio = quotient($r, 'messages_per_s', "sandbox @load", "echo-server @load");
    row("in its sandbox, $what", sprintf('%.0f', $with), sprintf('%.0f without', $without),
        sprintf('ratio %.2f; >= 0.90', $ratio), $ratio >= 0.9);
    $json{"sandbox_$load[0]"} = { with => $with, without => $without };
}

# ---- against the peers ---------------------------------------------------------------------
against_peers('1 MiB messages, 4 connections, MB/s', 'mb_per_s', 'pingpong', 4, 0, 1048576, $seconds);
against_peers('connect-send-receive-close, 50 at once, per s', 'messages_per_s', 'cycles', 50, 0, 64, $seconds);
for my $n (1, 50, 1000) {
    against_peers("$n connections, messages/s", 'messages_per_s', 'probe', $n, 0, 64, $seconds);
}

# ---- our client against a bare loop that compares nothing -------------------------------------
for my $n (1, 50, 1000) {
    next if 'client' !~ /$rows/;
    my @load = ($n, 0, 64, $seconds);
    my $r = interleave(['echo-server', 'probe', @load], ['echo-server', 'pingpong', @load]);
    my ($client, $bare) = map { "echo-server $_ @load" } 'probe', 'pingpong';
    my $ratio = quotient($r, 'messages_per_s', $client, $bare);
    row("echo-client, $n connections, messages/s", sprintf('%.0f', $r->{$client}{messages_per_s}),
        sprintf('%.0f by a bare loop; %.1f us of CPU per message', $r->{$bare}{messages_per_s}, $r->{$client}{client_cpu_ns} / 1000),
        sprintf('ratio %.2f; >= 0.90', $ratio), $ratio >= 0.9);
    $json{"client_$n"} = { client => $r->{$client}, bare => $r->{$bare} };
}

mkdir 'build/bench';
open my $out, '>', 'build/bench/results.json' or die;
print $out JSON::PP->new->pretty->canonical->encode({ runs => $runs, seconds => $seconds, results => \%json });
close $out;

my @width = map { my $c = $_; max(map { length $_->[$c] } @rows) } 0 .. 4;
printf "%-$width[0]s | %$width[1]s | %-$width[2]s | %-$width[3]s | %s\n", @$_
    for ['what', 'figure', 'beside it (ratio to ours)', 'demand', 'holds'], @rows;
exit((grep { $_->[4] eq 'NO' } @rows) ? 1 : 0);
