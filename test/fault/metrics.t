#!/usr/bin/perl
# After 10,000 connections that broke in some way the numbers add up: every byte that was
# received was echoed, is pending or was dropped, and every connection that was accepted is open
# or closed for a reason. So they do while a part of the bytes is pending.
use strict;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use AdminPages;

my $faults = $ENV{FAULT_CORE} ? 3000 : 10_000;
my $block  = 'b' x 300_000;

# How one connection breaks.
my @kinds = (
    sub { my ($s) = @_; reset_connection($s) },
    sub { my ($s) = @_; send_all($s, 'hello'); reset_connection($s) },
    sub { my ($s) = @_; send_all($s, 'hello'); close $s },
    sub { my ($s) = @_; echo_of($s, 'hello'); reset_connection($s) },
    sub { my ($s) = @_; send_all($s, 'hello'); half_close($s); receive_until_eof($s) },
    sub { my ($s) = @_; $s->blocking(0); syswrite($s, $block) for 1 .. 40; reset_connection($s) },
    sub { my ($s) = @_; $s->blocking(0); syswrite $s, $block; close $s },
    sub { my ($s) = @_; half_close($s); close $s },
);

sub adds_up {
    my ($n) = @_;
    return $n->{echo_server_received_bytes_total} == $n->{echo_server_echoed_bytes_total} + $n->{echo_server_pending_bytes} + $n->{echo_server_dropped_bytes_total}
        && $n->{echo_server_connections_accepted_total} == $n->{echo_server_connections} + sum_of($n, 'echo_server_connections_closed_total');
}

sub numbers_of {
    my ($n) = @_;
    return join "\n", map {"$_ $n->{$_}"} grep {/bytes|connections/} sort keys %$n;
}

for my $how ([workers => 1], [workers => 3], [workers => 1, 'pending-memory' => 0]) {
    group "@$how, $faults faults" => sub {
        my $server = start_server(@$how, 'admin-address' => '127.0.0.1:0');
        my $admin  = admin_port($server);
        my $base   = open_fds($server->{pid});
        my @pids;
        for my $part (0 .. 3) {
            my $pid = fork // die "fork: $!";
            if ($pid == 0) {
                for my $i (1 .. $faults / 4) { $kinds[($i + $part) % @kinds]->(connect_to($server->{port}) // next) }
                POSIX::_exit(0);
            }
            push @pids, $pid;
        }
        waitpid $_, 0 for @pids;
        my $n;
        ok(wait_for(sub { ($n = scrape($admin))->{echo_server_connections} == 0 && $n->{echo_server_backlog_connections} == 0 }, 20), 'all are gone');
        cmp_ok($n->{echo_server_connections_accepted_total}, '>=', 0.9 * $faults, "$n->{echo_server_connections_accepted_total} were accepted");
        cmp_ok($n->{'echo_server_connections_closed_total{reason="reset"}'}, '>', $faults / 10, 'many were reset');
        cmp_ok($n->{echo_server_dropped_bytes_total}, '>', 0, 'bytes were dropped') if "@$how" !~ /memory/;
        is($n->{echo_server_pending_bytes}, 0, 'none is pending');
        ok(adds_up($n), 'the numbers add up') or diag numbers_of($n);

        my @deaf = map { connect_to($server->{port}) } 1 .. 8;
        send_unread(64 << 20, @deaf);
        ok(wait_for(sub { adds_up($n = scrape($admin)) }, 5), 'with peers that do not read they add up, too') or diag numbers_of($n);
        cmp_ok($n->{echo_server_pending_bytes}, '>', 0, 'some bytes are pending then') if "@$how" !~ /memory/;
        close $_ for splice @deaf, 0, 4;
        ok(wait_for(sub { ($n = scrape($admin))->{echo_server_connections} == 4 && adds_up($n) }), 'half of them are gone: they add up') or diag numbers_of($n);
        reset_connection($_) for @deaf;
        ok(wait_for(sub { scrape($admin)->{echo_server_connections} == 0 && open_fds($server->{pid}) - 1 <= $base }), 'no descriptor stays');
        is(stop_program($server), 0, 'exit 0');
        my ($told) = log_of($server) =~ /stopped: .*, (\d+) bytes? echoed/;
        cmp_ok($told, '>=', $n->{echo_server_echoed_bytes_total}, 'the summary tells as many bytes');
    };
}
done_testing;
