#!/usr/bin/perl
# The server against itself and against its peers: server on one core, generator on the
# other, everything interleaved, medians. Prints a table with ratios, writes
# build/bench/results.json, exits with 1 when a demanded figure does not hold.
#
#     bench.pl [--runs 5] [--seconds 1] [--peers name,name]
use strict;
use warnings;
use Getopt::Long;
use IO::Socket::IP;
use JSON::PP;
use List::Util qw(max min);
use Time::HiRes qw(sleep time);

my ($runs, $seconds, $only) = (5, 1, '');
GetOptions('runs=i' => \$runs, 'seconds=f' => \$seconds, 'peers=s' => \$only)
    or die "usage: bench.pl [--runs N] [--seconds S] [--peers LIST]\n";

my $idle      = 9000;
my $generator = 'build/bench/generator';
my @ours      = qw(--drain-timeout 0 --log-level warn --address 127.0.0.1 --port);
my %command   = (
    'echo-server' => ['build/echo-server', @ours],
    'plain poll'  => ['build/bench/plain-poll', @ours],
    libuv         => ['build/bench/uv_echo'],
    libevent      => ['build/bench/event_echo'],
    node          => ['node', 'test/bench/peers/node_echo.js'],
    asyncio       => ['python3', 'test/bench/peers/asyncio_echo.py'],
    go            => ['build/bench/go_echo'],
);
my @peers = grep { !$only || $only =~ /\b$_\b/ } grep { is_there($_) }
    qw(libuv libevent node asyncio go);
my $next_port = 20000 + $$ % 10000;
my %pids;

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
END { my $code = $?; kill 'KILL', keys %pids; $? = $code }

sub is_there {
    my ($program) = $command{ $_[0] }[0];
    return $program =~ m{/} ? -x $program : system("command -v $program >/dev/null 2>&1") == 0;
}

# Start a server on the first core and wait until it answers.
sub start {
    my ($name) = @_;
    my $port = $next_port++;
    my $pid  = fork // die;
    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        $ENV{GOMAXPROCS} = 1;
        exec 'taskset', '-c', 0, @{ $command{$name} }, $port or exit 127;
    }
    $pids{$pid} = 1;
    for (1 .. 500) {
        my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port);
        return ($pid, $port) if $s;
        sleep 0.01;
    }
    die "$name does not answer\n";
}

sub stop {
    my ($pid) = @_;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    delete $pids{$pid};
}

# One measurement: a fresh server, the generator on the second core. Returns its figures.
sub measure {
    my ($name, @load) = @_;
    my ($pid, $port) = start($name);
    my $line = `timeout 120 taskset -c 1 $generator $port @load 2>&1`;
    stop($pid);
    my %figures = $line =~ /(\w+)=([\d.]+)/g;
    return %figures ? \%figures : undef;
}

sub median { my @v = sort { $a <=> $b } @_; return $v[$#v / 2] }

# Several servers under several loads, all interleaved; returns {"server load"}{figure}.
sub interleave {
    my (@pairs) = @_;    # [server, load...]
    my %all;
    for my $run (1 .. $runs) {
        for my $pair (@pairs) {
            my ($name, @load) = @$pair;
            print STDERR "\rrun $run of $runs: $name @load          " if -t STDERR;
            my $figures = measure($name, @load) or next;
            push @{ $all{"$name @load"}{$_} }, $figures->{$_} for keys %$figures;
        }
    }
    print STDERR "\r", " " x 70, "\r" if -t STDERR;
    return { map { my $k = $_; ($k => { map { ($_ => median(@{ $all{$k}{$_} })) } keys %{ $all{$k} } }) } keys %all };
}

my (@rows, %json);

# what, our figure, what it is compared with, the demand, does it hold
sub row {
    my ($what, $figure, $beside, $demand, $holds) = @_;
    push @rows, [$what, $figure, $beside, $demand, !defined $holds ? '' : $holds ? 'yes' : 'NO'];
}

sub ratio { my ($a, $b) = @_; return $b ? sprintf('%.2f', $a / $b) : 'none' }

sub against_peers {
    my ($what, $figure, @load) = @_;
    my $r = interleave(map { [$_, @load] } 'echo-server', 'plain poll', @peers);
    my %of = map { ($_ => $r->{"$_ @load"}{$figure} // 0) } 'echo-server', 'plain poll', @peers;
    my ($best) = sort { $of{$b} <=> $of{$a} } @peers;
    my $quotient = $best ? $of{'echo-server'} / max($of{$best}, 1e-9) : 1;
    row($what, sprintf('%.0f', $of{'echo-server'}),
        join(', ', map { sprintf '%s %s', $_, ratio($of{$_}, $of{'echo-server'}) } 'plain poll', @peers),
        sprintf('%.2f of the best peer (%s); >= 1.0', $quotient, $best // 'none'), $quotient >= 1.0);
    $json{$what} = \%of;
}

# ---- ourselves with and without idle connections -------------------------------------------
for my $active (100, 1) {
    my @with = ('pingpong', $active, $idle, 64, $seconds);
    my @bare = ('pingpong', $active, 0, 64, $seconds);
    my $r = interleave(['echo-server', @bare], ['echo-server', @with], ['plain poll', @with]);
    my ($bare, $with, $plain) = map { $r->{$_} } "echo-server @bare", "echo-server @with", "plain poll @with";
    my $quotient = $with->{messages_per_s} / $bare->{messages_per_s};
    row("$active active + $idle idle, messages/s", sprintf('%.0f', $with->{messages_per_s}),
        sprintf('%.0f with 0 idle; plain poll %.0f', $bare->{messages_per_s}, $plain->{messages_per_s}),
        sprintf('ratio %.2f; >= 0.95', $quotient), $quotient >= 0.95);
    if ($active == 100) {
        my $p99 = $with->{p99_us} / $bare->{p99_us};
        row("$active active + $idle idle, p99 us", $with->{p99_us},
            "$bare->{p99_us} with 0 idle; plain poll $plain->{p99_us}",
            sprintf('ratio %.2f; <= 1.5', $p99), $p99 <= 1.5);
    }
    $json{"idle_$active"} = { with => $with, without => $bare, plain_poll => $plain };
}

# ---- a cold connection's message -----------------------------------------------------------
{
    my $r = measure('echo-server', 'cold', 100, $idle, 64, 200) // {};
    row('message on a connection cold for 10 s, worst of 200, us', $r->{probe_worst_us} // 'none',
        '100 others flat out, ' . $idle . ' idle', '<= 30000',
        defined $r->{probe_worst_us} && $r->{probes} == 200 && $r->{probe_worst_us} <= 30000);
    $json{cold} = $r;
}

# ---- at rest -------------------------------------------------------------------------------
{
    my ($pid, $port) = start('echo-server');
    my $holder = fork // die;
    if ($holder == 0) {
        open STDOUT, '>', '/dev/null';
        exec 'taskset', '-c', 1, $generator, $port, 'hold', 0, 10000, 64, 30 or exit 127;
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

# ---- against the peers ---------------------------------------------------------------------
against_peers('1 MiB messages, 4 connections, MB/s', 'mb_per_s', 'pingpong', 4, 0, 1048576, $seconds);
against_peers('connect-send-receive-close, per s', 'messages_per_s', 'cycles', 8, 0, 64, $seconds);
for my $n (1, 50, 1000) {
    against_peers("$n connections, messages/s", 'messages_per_s', 'pingpong', $n, 0, 64, $seconds);
}

mkdir 'build/bench';
open my $out, '>', 'build/bench/results.json' or die;
print $out JSON::PP->new->pretty->canonical->encode({ runs => $runs, seconds => $seconds, results => \%json });
close $out;

my @width = map { my $c = $_; max(map { length $_->[$c] } @rows) } 0 .. 4;
printf "%-$width[0]s | %$width[1]s | %-$width[2]s | %-$width[3]s | %s\n", @$_
    for ['what', 'figure', 'beside it (ratio to ours)', 'demand', 'holds'], @rows;
exit((grep { $_->[4] eq 'NO' } @rows) ? 1 : 0);
