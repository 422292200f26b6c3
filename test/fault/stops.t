#!/usr/bin/perl
# More than 1,000 stops, at every system call and in every state: the exit code is right, it is
# there before the deadline, every connection accepted is logged as closed, and what came back is
# exactly what the log says was echoed.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use ByteChecker;
use FaultRuns;

my $drain_s = 0.8;
my $share   = $ENV{FAULT_CORE} ? 10 : 1;    # of the numbers

# What all stops have in common. $code is the exit code, $took the time from the signal on.
sub judge_stop {
    my ($server, $count, $code, $took) = @_;
    my $log = log_of($server);
    my $is_listening = $log =~ /listening on/;
    my $cut = $log =~ /stopped: .* (\d+) cut$/m ? $1 : 0;
    return 'it does not end' if !defined $code;
    # Before the handlers are there, the signal itself ends it.
    if (!$is_listening && $log !~ /stopped/) { return $code == 143 ? '' : "exit code $code in start-up" }
    my @wrong;
    push @wrong, "exit code $code with $cut cut" if $code != ($cut ? 1 : 0);
    push @wrong, sprintf 'it took %.2f s', $took if $took > $drain_s + 0.7;
    my ($accepted, $closed) = (scalar(() = $log =~ /accepted$/gm), scalar(() = $log =~ /connection \d+ closed/g));
    push @wrong, "$accepted accepted, $closed closed" if $accepted != $closed;
    push @wrong, verdicts_text($count) if grep { $count->{$_} } $cut ? qw(wrong hung) : qw(wrong hung lost);
    return join '; ', @wrong;
}

# Start, talk, be stopped. %how: for check_bytes; `after`: signals are sent so many seconds after
# the start of the talk; `options` of the server; `wrap`.
sub run_stop {
    my ($case) = @_;
    my ($wrap, $options, $signals, %how) = (@{$case}{qw(wrap options signals)}, %{ $case->{talk} // {} });
    my $server = start_on_port(0, $wrap // [], '--drain-timeout', "${drain_s}s", @{ $options // [] });
    my ($start, $signalled, $code) = (time);
    my @left = @{ $signals // [] };
    my $send = sub {
        while (@left && time - $start >= $left[0]) {
            shift @left;
            $signalled //= time;
            kill 'TERM', $server->{pid} if !defined exit_of($server, 0);
        }
    };
    my $finish = sub {
        while (@left) { $send->(); sleep 0.001 }
        $signalled //= time;
        kill 'TERM', $server->{pid} if !@{ $signals // [] } && !defined exit_of($server, 0);
        $code = exit_of($server, $drain_s + 3);
        return log_of($server);
    };
    my $count = {};
    if ($server->{port}) {
        ($count) = check_bytes($server->{port}, connections => 21, bytes => 400, piece => 100,
            seconds => $drain_s + 3, during => $send, %how, log => $finish);
    } else {
        $finish->();
    }
    my $wrong = judge_stop($server, $count, $code, time - ($signalled // time));
    if (!exists $server->{code}) { kill 'KILL', $server->{pid}; exit_of($server) }
    return $wrong eq '' ? 'fine ' . (verdicts_text($count) || 'in start-up') : $wrong =~ s/\s+/ /gr;
}

my $stops = 0;

sub all_right {
    my ($name, @cases) = @_;
    my (@wrong, %kinds);
    my $t = time;
    in_parallel(\@cases, \&run_stop, sub {
        my ($case, $result) = @_;
        $stops++;
        if ($result =~ /^fine (.*)/) {
            my $kinds = $1;
            $kinds{$2} += $1 while $kinds =~ /(\d+) (\w+)/g;
        } else {
            push @wrong, ($case->{name} // '') . " $result";
        }
    });
    is_deeply(\@wrong, [], sprintf '%s: all %d stops are right; connections: %s', $name, scalar @cases, verdicts_text(\%kinds) || 'none');
    note(sprintf '%.0f s', time - $t);
}

my @calls = qw(accept4 recvfrom sendto poll shutdown ioctl setsockopt fcntl close read write open mmap munmap pipe2 socket bind
    listen rt_sigaction rt_sigprocmask);
SKIP: {
    skip 'no strace here', scalar @calls if !has_command('strace');
    for my $call (@calls) {
        all_right("SIGTERM at $call 1 to " . 20 / $share, map { {
            name => "call $_",
            wrap => ['strace', '-D', '-qq', '-o', '/dev/null', '-e', "trace=$call", '-e', "inject=$call:signal=SIGTERM:when=$_"],
        } } 1 .. 20 / $share);
    }
}
all_right('idle', map { { talk => { connections => 0 } } } 1 .. 50 / $share);
all_right('in start-up', map { { name => $_, talk => { connections => 0 }, signals => [0] } } 1 .. 50 / $share);
all_right('in a dialogue', map { { talk => { is_talking => 1, bytes => 400_000 }, signals => [$_ / 1000] } } 1 .. 150 / $share);
all_right('in mid-transfer', map { { talk => { bytes => 2_000_000, piece => 65536, connections => 4 }, signals => [$_ / 1000] } } 1 .. 150 / $share);
all_right('at the cap', map { { options => ['--max-connections', 5], talk => { connections => 12, is_talking => 1, bytes => 20_000 },
    signals => [$_ / 2000] } } 1 .. 100 / $share);
all_right('two SIGTERM 0 to 50 ms apart', map { { talk => { is_talking => 1, bytes => 400_000, connections => 5 },
    signals => [0.02, 0.02 + $_ / 2000] } } 0 .. 100 / $share);
all_right('workers', map { { options => ['--workers', 3], talk => { is_talking => 1, bytes => 400_000 }, signals => [$_ / 1000] } } 1 .. 50 / $share);

cmp_ok($stops, '>=', 1000 / $share, "there were $stops stops in all");
done_testing;
