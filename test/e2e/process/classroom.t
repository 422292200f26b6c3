#!/usr/bin/perl
# The broken server for class: each fault shows, and shows only where it is asked for.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Echolab;

plan skip_all => 'it runs once, with the programs as shipped' if $Echolab::build ne 'build';

my $program = temp_dir() . '/fault_server';
my @warnings = split ' ', `sed -n '/^WARNINGS/,/[^\\\\]\$/p' Makefile | tr -d '\\\\' | sed 's/.*:= *//'`;
cmp_ok(scalar @warnings, '>', 10, 'the warnings of the Makefile');
my ($code, undef, $said) = run_program(['gcc', qw(-std=c11 -D_GNU_SOURCE -Os -Werror), @warnings, '-o', $program, 'test/classroom/fault_server.c'], seconds => 300);
is("$code $said", '0 ', 'it compiles without a warning');

my ($list_code, $list) = run_program([$program, '--list']);
my @faults = $list =~ /^(\S+)/mg;
is("$list_code $faults[0]", '0 none', '--list');
my ($allowed) = slurp('compose/fault.sh') =~ /^faults='(.*)'$/m;
is("none $allowed", "@faults", 'the lab knows the same faults');

# ---- usage -------------------------------------------------------------------------------------
for my $case (['no-such'], ['leaks', 'prefix'], []) {
    my ($code, $out, $err) = run_program([$program, @$case]);
    is("$code $out", '2 ', "fault_server @$case: exit 2");
    like($err, qr/\A[^\n]+\n\z/, '... one line');
}
for my $value ('', '0', '65536', 'x', '12 13') {
    my ($code, undef, $err) = run_program([$program, 'none'], env => { SERVER_PORT => $value });
    is($code, 2, "SERVER_PORT='$value': exit 2");
    like($err, qr/\Afault_server: SERVER_PORT: '\Q$value\E' is wrong; allowed: 1 to 65535\n\z/, '... and what is allowed');
}
for my $case (['leaks', 0, qr/\Aecholab-fault:leaks\n\z/], ['none', 2, qr/\Alab: FAULT='none' is unknown; allowed: short-write, .*ignores-term\n\z/],
    ['', 2, qr/allowed: short-write/], ['leaks ignores-term', 2, qr/allowed: short-write/])
{
    my ($name, $expected, $says) = @$case;
    my ($code, $out, $err) = run_program(['compose/fault.sh'], env => { FAULT => $name, SERVER_IMAGE => '' });
    is($code, $expected, "FAULT='$name': exit $expected");
    like("$out$err", $says, '... and one line');
}
my ($both) = run_program(['compose/fault.sh'], env => { FAULT => 'leaks', SERVER_IMAGE => 'student/echo:1' });
is($both, 2, 'FAULT and SERVER_IMAGE: exit 2');

# ---- each fault --------------------------------------------------------------------------------

sub start_fault {
    my ($fault) = @_;
    my $server = start_program([$program], env => { FAULT => $fault, SERVER_PORT => my $port = free_port() });
    $server->{port} = $port;
    wait_for_log($server, qr/listening on/) // die slurp($server->{err}) . log_of($server);
    return $server;
}

# What a server does, one look for each fault: true where it is right.
my $megabyte = join '', map { chr(int rand 256) } 1 .. 1 << 20;
my %looks = (
    'short-write' => sub {
        my ($port) = @_;
        my $peer = connect_to($port);
        my $pid = fork // die;
        if ($pid == 0) { send_all($peer, $megabyte); POSIX::_exit(0) }
        my $same = receive($peer, length $megabyte, 2) eq $megabyte;
        waitpid $pid, 0;
        return $same;
    },
    'drops-tail' => sub {
        my ($port) = @_;
        for (1 .. 10) {    # a busy machine may pause between the two
            my $peer = connect_to($port);
            send_all($peer, 'the last words');
            half_close($peer);
            return 0 if receive_until_eof($peer, 2) ne 'the last words';
        }
        return 1;
    },
    'one-at-a-time' => sub {
        my ($port) = @_;
        my $silent = connect_to($port);
        my $other  = connect_to($port);
        send_all($other, 'hello');
        return receive($other, 5, 0.5) eq 'hello';
    },
    'no-shutdown' => sub {
        my ($port) = @_;
        my $peer = connect_to($port);
        half_close($peer);
        my $ready = '';
        vec($ready, fileno $peer, 1) = 1;
        return scalar select $ready, undef, undef, 0.5;
    },
    'flips-a-bit' => sub { my ($port) = @_; return echo_of(connect_to($port), 'x' x 200) eq 'x' x 200 },
    prefix => sub { my ($port) = @_; my $peer = connect_to($port); send_all($peer, "hola\n"); return receive($peer, 6, 0.3) eq "hola\n" },
    leaks => sub {
        my ($port) = @_;
        for (1 .. 1000) {
            my $peer = connect_to($port, timeout => 1) or return 0;
            send_all($peer, 'x');
            return 0 if receive($peer, 1, 0.5) ne 'x';
            half_close($peer);
            receive_until_eof($peer, 1);
        }
        return 1;
    },
    'ignores-term' => sub { my ($port, $server) = @_; return defined stop_program($server, 1) },
);
is(join(' ', sort keys %looks), join(' ', sort grep { $_ ne 'none' } @faults), 'a look for each fault');

for my $look (sort keys %looks) {
    my $right = start_fault('none');
    ok($looks{$look}->($right->{port}, $right), "none: passes the look for $look");
    stop_program($right) if !exists $right->{code};
}
for my $fault (sort keys %looks) {
    my $server = start_fault($fault);
    ok(!$looks{$fault}->($server->{port}, $server), "$fault: it shows");
    kill 'KILL', $server->{pid};
    exit_of($server);
    for my $other (qw(prefix drops-tail one-at-a-time flips-a-bit)) {
        next if $other eq $fault || $fault eq 'prefix' || ($fault eq 'no-shutdown' && $other eq 'drops-tail');
        my $again = start_fault($fault);
        ok($looks{$other}->($again->{port}, $again), "$fault: it has not the fault $other, too");
        kill 'KILL', $again->{pid};
        exit_of($again);
    }
}

# ---- the examiner names it -----------------------------------------------------------------------
# Which of its checks fails for a fault; the other names need a container: make grade.
my %named = ('short-write' => 'one-mib', 'drops-tail' => 'half-close', 'one-at-a-time' => 'parallel', 'no-shutdown' => 'half-close', 'flips-a-bit' => 'all-bytes',
    prefix => 'one-byte', leaks => 'sequence');
for my $fault ('none', sort keys %named) {
    my $server = start_fault($fault);
    for my $check ($fault eq 'none' ? sort keys %{ { reverse %named } } : $named{$fault}) {
        my ($code, $out, $err) = run_program(["$Echolab::build/echo-client", '--examine', "127.0.0.1:$server->{port}", '--check', $check, '--timeout', '2s', '--json'], seconds => 60);
        my ($result) = $out =~ /"id":"$check".*?"result":"(\w+)"/;
        is($result, $fault eq 'none' ? 'pass' : 'fail', "$fault: the examiner's check $check") or diag $out . $err;
    }
    kill 'KILL', $server->{pid};
    exit_of($server);
}

# ---- a right server otherwise --------------------------------------------------------------------
{
    my $server = start_fault('none');
    my $unread = connect_to($server->{port});
    send_all($unread, 'x' x 30000);
    my $idle = connect_to($server->{port});
    is(echo_of($idle, 'hello'), 'hello', 'none: an echo beside a peer that has not read yet');
    kill 'TERM', $server->{pid};
    is(length receive($unread, 30000, 3), 30000, 'SIGTERM: what was sent before is echoed');
    is(receive_until_eof($_, 3), '', '... and then comes the end') for $unread, $idle;
    close $_ for $unread, $idle;
    is(exit_of($server), 0, '... exit 0');
    like(log_of($server), qr/stopping\n.*listener closed\n.*connection 1 closed: 30000 bytes.*stopped\n\z/s, '... and each close is logged');
    like(log_of($server), qr/connection 2 closed: 5 bytes/, '... the other connection, too');
    is(slurp($server->{err}), '', '... nothing on stderr');
}
done_testing;
