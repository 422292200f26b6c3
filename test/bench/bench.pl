#!/usr/bin/perl
# The server against itself and against its peers: server on one core, load on the other,
# everything interleaved, medians (test/lib/Measure.pm has how). Prints a table with ratios,
# writes all figures into a file, exits with 1 when a demanded figure does not hold.
#
#     bench.pl [--runs 5] [--seconds 0.5] [--rows REGEX] [--peers name,name]
#              [--workers 1] [--against FOLDER] [--output FILE]
#
# --rows      only the rows whose name fits: idle, cold, rest, log, sandbox, 1 MiB, connect,
#             N connections, client, busy N, sparse CONNECTIONS/RATE, all at once, mixed
# --peers     beside the plain epoll loop, which is always there, only these
# --workers   of our server; it stays on its one core
# --against   the echo-server of another build in FOLDER stands in the peers' place, with the same
#             options as ours: before and after a change. Ratios are ours to that one's, and
#             there is no demand on them.
# --output    default: build/bench/results.json
use strict;
use warnings;
use lib 'test/lib';
use Getopt::Long;
use JSON::PP;
use List::Util qw(max);
use Measure;
use Time::HiRes qw(sleep);

my ($seconds, $only, $rows, $workers, $against, $output) = (0.5, '', '', 1, undef, 'build/bench/results.json');
GetOptions(
    'runs=i' => \$Measure::runs, 'seconds=f' => \$seconds, 'rows=s' => \$rows, 'peers=s' => \$only,
    'workers=i' => \$workers, 'against=s' => \$against, 'output=s' => \$output,
) && !@ARGV && $Measure::runs > 0 && $seconds > 0 && $workers > 0
    or usage("usage: bench.pl [--runs N] [--seconds S] [--rows REGEX] [--peers LIST] [--workers N] [--against FOLDER] [--output FILE]");
usage("bench.pl: --against: there is no program $against/echo-server")
    if defined $against && !-x "$against/echo-server";

sub usage { print STDERR "$_[0]\n"; exit 2 }

my $idle = 9000;
# Engines are compared without the sandbox, which the peers have not; it has rows of its own,
# and all rows about CPU per message have it.
my @bare    = ('--drain-timeout', 0, '--address', '127.0.0.1', '--workers', $workers, '--sandbox');
my @ours    = (@bare, qw(off --log-level warn --port));
my @boxed   = (@bare, qw(on --log-level warn --port));
my @logging = (@bare, qw(off --log-level));
%Measure::command = (
    'echo-server' => ['build/echo-server', @ours],
    'plain poll'  => ['build/bench/plain-poll', @ours],
    'log info'    => ['build/echo-server', @logging, 'info',  '--port'],
    'log debug'   => ['build/echo-server', @logging, 'debug', '--port'],
    'sandbox'     => ['build/echo-server', @boxed],
    epoll         => ['build/bench/epoll_echo'],
    libuv         => ['build/bench/uv_echo'],
    libevent      => ['build/bench/event_echo'],
    node          => ['node', 'test/bench/peers/node_echo.js'],
    asyncio       => ['python3', 'test/bench/peers/asyncio_echo.py'],
    go            => ['build/bench/go_echo'],
);

# What ours is compared with, in every row: without and with its sandbox.
my ($beside, $beside_boxed) = ('epoll', 'epoll');
my @plain = ('plain poll');
my @peers = ('epoll', grep { !$only || $only =~ /\b$_\b/ } grep { is_there($_) } qw(libuv libevent node asyncio go));
if (defined $against) {
    ($beside, $beside_boxed) = ('other build', 'other build, sandbox');
    $Measure::command{$beside}       = ["$against/echo-server", @ours];
    $Measure::command{$beside_boxed} = ["$against/echo-server", @boxed];
    @plain = ();
    @peers = ($beside);
}
for my $program ($Measure::generator, $Measure::client, map { $Measure::command{$_}[0] } 'echo-server', $beside) {
    usage("bench.pl: there is no $program: make bench builds it") if !-x $program;
}
Measure::check_namespaces();

sub is_there {
    my ($program) = $Measure::command{ $_[0] }[0];
    return $program =~ m{/} ? -x $program : system("command -v $program >/dev/null 2>&1") == 0;
}

# Is the row asked for?
sub wanted { my ($name) = @_; return $name =~ /(?:$rows)/ }

# ---- the table -----------------------------------------------------------------------------

my (@rows, %json);

# what, our figure, the server's CPU per message, what it is compared with, the demand, does it hold
sub row {
    my ($what, $figure, $cpu, $beside, $demand, $holds) = @_;
    push @rows, [$what, $figure, $cpu, $beside, $demand, !defined $holds ? '' : $holds =~ /^(yes|tie|NO)$/ ? $holds : $holds ? 'yes' : 'NO'];
    return;
}

sub quotient { return median(quotients(@_)) // 0 }

# A figure with so many digits; "none" where there is none.
sub digits { my ($figure, $digits) = @_; return defined $figure ? sprintf('%.*f', $digits, $figure) : 'none' }

# The server's CPU per message, and how it compares with that of another.
sub cpu {
    my ($r, $ours, $theirs) = @_;
    my $us = $r->{$ours}{server_cpu_us} // return '';
    my @q = defined $theirs ? quotients($r, 'server_cpu_us', $ours, $theirs) : ();
    return digits($us, $us < 100 ? 2 : 0) . (@q ? sprintf ' (%.2f)', median(@q) : '');
}

# Does a quotient reach 1.0? "tie" when the median does not, but 1.0 lies in the middle half
# of the single runs: then the runs cannot tell the two apart.
sub reaches_one {
    my @q = quotients(@_);
    return !@q ? 'NO' : median(@q) >= 1.0 ? 'yes' : $q[int(0.75 * $#q)] >= 1.0 ? 'tie' : 'NO';
}

# A row whose quotient must not be above a limit; the middle half of the single runs' quotients
# stands with it. Another build is only compared. Returns what the JSON has of it.
sub limit_row {
    my ($what, $r, $figure, $digits, $ours, $theirs, $limit, $note) = @_;
    my @q = quotients($r, $figure, $ours, $theirs);
    my $ratio = @q ? sprintf('ratio %.2f (%.2f to %.2f)', median(@q), $q[int(0.25 * $#q)], $q[int(0.75 * $#q)]) : 'no figures';
    row($what, digits($r->{$ours}{$figure}, $digits), $figure eq 'server_cpu_us' ? '' : cpu($r, $ours, $theirs),
        "$beside " . digits($r->{$theirs}{$figure}, $digits) . ($note // ''),
        defined $against ? $ratio : sprintf('%s; <= %.2f', $ratio, $limit),
        defined $against ? undef  : @q && median(@q) <= $limit);
    return { ratio => scalar(median(@q)), ratios => \@q, limit => $limit };
}

sub both { my ($r, $ours, $theirs) = @_; return (ours => $r->{$ours} // {}, beside => $r->{$theirs} // {}) }

sub against_peers {
    my ($what, $figure, @load) = @_;
    return if !wanted($what);
    # With one connection all are within a few percent: more runs.
    my $r = interleave(times => $load[1] == 1 ? 3 : 1, map { [$_, @load] } 'echo-server', @plain, @peers);
    my %of = map { ($_ => $r->{"$_ @load"}{$figure} // 0) } 'echo-server', @plain, @peers;
    my %ratio = map { ($_ => quotient($r, $figure, "echo-server @load", "$_ @load")) } @plain, @peers;
    # The epoll loop is the floor, and has demands of its own: the best is one of the libraries.
    my ($best) = sort { $ratio{$a} <=> $ratio{$b} } grep { $_ ne 'epoll' } @peers;
    my @demand = !defined $best ? ('no peer')
        : defined $against      ? (sprintf 'ratio %.2f', $ratio{$best})
        : (sprintf('%.2f of the best peer (%s); >= 1.0', $ratio{$best}, $best), reaches_one($r, $figure, "echo-server @load", "$best @load"));
    row($what, digits($of{'echo-server'}, 0), cpu($r, "echo-server @load", "$beside @load"),
        join(', ', map { $ratio{$_} ? sprintf('%s %.2f', $_, 1 / $ratio{$_}) : "$_ none" } @plain, @peers), @demand);
    $json{$what} = {
        map { ($_ => { median => $of{$_}, runs => $r->{"$_ @load"}{"all $figure"},
                       server_cpu_us => $r->{"$_ @load"}{server_cpu_us} }) } keys %of
    };
    return;
}

# ---- ourselves with and without idle connections -------------------------------------------
for my $case ([100, 0.98], [1, 0.97]) {
    next if !wanted('idle');
    my ($active, $least) = @$case;
    my @with = ('pingpong', $active, $idle, 64, $seconds);
    my @bare = ('pingpong', $active, 0, 64, $seconds);
    my $r = interleave(times => 3, seldom => { 'plain poll' => 1 },
        ['echo-server', @bare], map { [$_, @with] } 'echo-server', $beside, @plain);
    my ($bare, $with, $other, $plain) = map { $r->{$_} // {} } "echo-server @bare", "echo-server @with", "$beside @with", "plain poll @with";
    my $text = sub {
        my ($figure, $digits) = @_;
        return digits($bare->{$figure}, $digits) . " with 0 idle; $beside " . digits($other->{$figure}, $digits)
            . (@plain ? '; plain poll ' . digits($plain->{$figure}, $digits) : '');
    };
    my $quotient = quotient($r, 'messages_per_s', "echo-server @with", "echo-server @bare");
    row("$active active + $idle idle, messages/s", digits($with->{messages_per_s}, 0),
        cpu($r, "echo-server @with", "$beside @with"), $text->('messages_per_s', 0),
        sprintf('ratio %.2f; >= %.2f', $quotient, $least), $quotient >= $least);
    if ($active == 100) {
        my $p99 = quotient($r, 'p99_us', "echo-server @with", "echo-server @bare");
        row("$active active + $idle idle, p99 us", digits($with->{p99_us}, 1), '', $text->('p99_us', 1),
            sprintf('ratio %.2f; <= 1.5', $p99), $p99 > 0 && $p99 <= 1.5);
    }
    $json{"idle_$active"} = { with => $with, without => $bare, beside => $other, plain_poll => $plain };
}

# ---- a cold connection's message -----------------------------------------------------------
if (wanted('cold')) {
    my $r = measure('echo-server', 'cold', 100, $idle, 64, 200) // {};
    row('message on a connection cold for 10 s, worst of 200, us', digits($r->{probe_worst_us}, 1), '',
        '100 others flat out, ' . $idle . ' idle', '<= 30000',
        defined $r->{probe_worst_us} && $r->{probes} == 200 && $r->{probe_worst_us} <= 30000);
    $json{cold} = $r;
}

# ---- at rest -------------------------------------------------------------------------------
if (wanted('rest')) {
    my $pid    = start('echo-server');
    my $holder = hold($pid, 10000);
    sleep 1;
    my $before = cpu_s($pid);
    sleep 10;
    my $percent = (cpu_s($pid) - $before) * 100 / 10;
    open my $f, '<', "/proc/$pid/status" or die;
    my ($rss) = join('', <$f>) =~ /VmRSS:\s+(\d+)/;
    row('CPU with 10,000 connections, all idle, %', digits($percent, 2), '', '10 s', '< 0.5', $percent < 0.5);
    row('resident memory with 10,000 idle, KiB', $rss, '', '', '<= 600', $rss <= 600);
    $json{rest} = { cpu_percent => $percent, rss_kib => $rss };
    stop($holder, 'TERM');
    stop($pid);
}

# ---- the log -------------------------------------------------------------------------------
if (wanted('log')) {
    my @load = ('pingpong', 50, 0, 64, $seconds);
    my $r = interleave(map { [$_, @load] } 'log info', 'log debug', $beside);
    my ($info, $debug) = map { $r->{"$_ @load"}{messages_per_s} } 'log info', 'log debug';
    my $ratio = quotient($r, 'messages_per_s', "log debug @load", "log info @load");
    row('a log line per message (debug), 50 connections, messages/s', digits($debug, 0),
        cpu($r, "log debug @load", "$beside @load"), digits($info, 0) . ' at info; both into a file',
        sprintf('ratio %.2f; >= 0.60', $ratio), $ratio >= 0.60);
    $json{log} = { debug => $debug, info => $info };
}

# ---- the sandbox ---------------------------------------------------------------------------
for my $case (['50 connections, messages/s', 'pingpong', 50], ['connect-send-receive-close, per s', 'cycles', 50]) {
    next if !wanted('sandbox');
    my ($what, @load) = (@$case, 0, 64, $seconds);
    my $r = interleave(times => 3, map { [$_, @load] } 'sandbox', 'echo-server', $beside_boxed);
    my ($with, $without) = map { $r->{"$_ @load"}{messages_per_s} } 'sandbox', 'echo-server';
    my $ratio = quotient($r, 'messages_per_s', "sandbox @load", "echo-server @load");
    row("in its sandbox, $what", digits($with, 0), cpu($r, "sandbox @load", "$beside_boxed @load"), digits($without, 0) . ' without',
        sprintf('ratio %.2f; >= 0.90', $ratio), $ratio >= 0.9);
    $json{"sandbox_$load[0]"} = { with => $with, without => $without };
}

# ---- against the peers ---------------------------------------------------------------------
against_peers('1 MiB messages, 4 connections, MB/s', 'mb_per_s', 'pingpong', 4, 0, 1048576, $seconds);
against_peers('connect-send-receive-close, 50 at once, per s', 'messages_per_s', 'cycles', 50, 0, 64, $seconds);
for my $n (1, 50, 1000) {
    against_peers("$n connections, messages/s", 'messages_per_s', 'probe', $n, 0, 64, $seconds);
}

# ---- what a message costs the server, in its sandbox, against the plain epoll loop ----------
for my $n (1, 50, 1000) {
    next if !wanted("busy $n");
    my @load = ('probe', $n, 0, 64, $seconds);
    my ($ours, $theirs) = ("sandbox @load", "$beside_boxed @load");
    my $r = interleave(times => 3, ['sandbox', @load], [$beside_boxed, @load]);
    my $rates = join ' and ', map { digits($r->{$_}{messages_per_s}, 0) } $ours, $theirs;
    my $cpu = limit_row("busy $n: server's CPU, us/message", $r, 'server_cpu_us', 2, $ours, $theirs, 1.03, "; $rates messages/s");
    $json{"busy_$n"} = { both($r, $ours, $theirs), cpu => $cpu };
}

# ---- many who speak now and then -----------------------------------------------------------

# Where the load could not do what it should: a client whose core is full, messages that did not
# come back at the rate at which they should have gone.
sub remarks {
    my ($rate, @measured) = @_;    # ours, the other
    my $text = sprintf '; client %s %% of its core', join ' and ', map { digits(100 * ($_->{client_busy} // 0), 0) } @measured;
    $text .= ': it is the limit' if ($measured[1]{client_busy} // 0) >= 0.97;
    $text .= sprintf '; %s of %d/s', join(' and ', map { digits($_->{messages_per_s}, 0) } @measured), $rate
        if grep { ($_->{messages_per_s} // 0) < 0.98 * $rate } @measured;
    return $text;
}

for my $case ([1000, 5000], [5000, 5000], [9000, 9000], [9000, 20000], [10000, 1000]) {
    my ($connections, $rate) = @$case;
    next if !wanted("sparse $connections/$rate");
    # As long as it takes for a percentile of a thousand messages.
    my @load = ('probe', $connections, 0, 64, max($seconds, 1000 / $rate), $rate);
    my ($ours, $theirs) = ("sandbox @load", "$beside_boxed @load");
    my $r = interleave(times => 3, ['sandbox', @load], [$beside_boxed, @load]);
    my $what = "sparse $connections/$rate:";
    my $note = remarks($rate, map { $r->{$_} // {} } $ours, $theirs);
    my $cpu  = limit_row("$what server's CPU, us/message", $r, 'server_cpu_us', 1, $ours, $theirs, 1.15, $note);
    my $p99  = limit_row("$what p99, us", $r, 'p99_us', 0, $ours, $theirs, 1.5);
    $json{"sparse_${connections}_$rate"} = { both($r, $ours, $theirs), cpu => $cpu, p99 => $p99 };
}

if (wanted('all at once')) {
    my @load = ('burst', 0, $idle, 64, 3);
    my ($ours, $theirs) = ("sandbox @load", "$beside_boxed @load");
    my $r = interleave(times => 3, ['sandbox', @load], [$beside_boxed, @load]);
    my $last = limit_row("all at once: the last of $idle echoes, us", $r, 'last_us', 0, $ours, $theirs, 1.15);
    $json{all_at_once} = { both($r, $ours, $theirs), last => $last };
}

# ---- small messages beside large ones ------------------------------------------------------
if (wanted('mixed')) {
    my @load = ('mixed', 50, 8000, 1048576, $seconds);
    my ($ours, $theirs) = ("sandbox @load", "$beside_boxed @load");
    my $r = interleave(times => 3, ['sandbox', @load], [$beside_boxed, @load]);
    my $bulk = sprintf '; 1 MiB: %s and %s MB/s', map { digits($r->{$_}{bulk_mb_per_s}, 0) } $ours, $theirs;
    my %of;
    for my $kind ('busy', 'sparse') {
        $of{$kind} = limit_row("mixed: p99 of the $kind, us", $r, "${kind}_p99_us", 0, $ours, $theirs, 1.5, $bulk);
    }
    $json{mixed} = { both($r, $ours, $theirs), %of };
}

# ---- our client against a bare loop that compares nothing -------------------------------------
for my $n (1, 50, 1000) {
    next if !wanted('client');
    my @load = ($n, 0, 64, $seconds);
    my $r = interleave(['echo-server', 'probe', @load], ['echo-server', 'pingpong', @load]);
    my ($client, $bare) = map { "echo-server $_ @load" } 'probe', 'pingpong';
    my $ratio = quotient($r, 'messages_per_s', $client, $bare);
    row("echo-client, $n connections, messages/s", digits($r->{$client}{messages_per_s}, 0), cpu($r, $client),
        digits($r->{$bare}{messages_per_s}, 0) . sprintf(' by a bare loop; %.1f us of the client\'s CPU', ($r->{$client}{client_cpu_ns} // 0) / 1000),
        sprintf('ratio %.2f; >= 0.90', $ratio), $ratio >= 0.9);
    $json{"client_$n"} = { client => $r->{$client}, bare => $r->{$bare} };
}

usage("bench.pl: --rows: no row is called '$rows'") if !@rows;

open my $out, '>', $output or die "$output: $!\n";
print $out JSON::PP->new->pretty->canonical->encode({
    runs => $Measure::runs, seconds => $seconds, workers => $workers, beside => $beside, results => \%json,
});
close $out;

my $heading = ['what', 'figure', "server's CPU", 'beside it (ratio to ours)', 'demand', 'holds'];
my @width = map { my $c = $_; max(map { length $_->[$c] } $heading, @rows) } 0 .. 5;
printf "%-$width[0]s | %$width[1]s | %-$width[2]s | %-$width[3]s | %-$width[4]s | %s\n", @$_ for $heading, @rows;
print "server's CPU: us per message, of all its threads; in brackets the ratio to that of $beside\n";
exit((grep { $_->[5] eq 'NO' } @rows) ? 1 : 0);
