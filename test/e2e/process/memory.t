#!/usr/bin/perl
# Memory stays within the formula of ARCHITECTURE.md:
# base + max_connections x 49 B + pending_memory + workers x one read.
# The receive buffer, 256 KiB, is resident once large messages came.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Echolab;

plan skip_all => 'memory is measured of the programs as shipped' if $Echolab::build ne 'build';

# Pages that are touched in part: two for each of the tables, the log's buffer.
my $slack_kib = 64;

my $pending_kib = 2048;
my $server = start_server('pending-memory' => "${pending_kib}KiB");
my $base   = rss_kib($server->{pid});
cmp_ok($base, '<=', 136, "at the start $base KiB are resident, at most 136");

my $many = 3000;
my @idle = map { connect_to($server->{port}) } 1 .. $many;
is(join('', map { echo_of($_, 'x') } @idle), 'x' x $many, "$many connections: each is echoed");
my $idle_kib = rss_kib($server->{pid}) - $base;
cmp_ok($idle_kib, '<=', $many * 49 / 1024 + $slack_kib, "$many idle connections cost $idle_kib KiB");

my $deaf = 40;
for my $s (@idle[0 .. $deaf - 1]) {
    $s->blocking(0);
    my $full = 0;
    for (1 .. 2000) {    # until nothing moves any more
        $full = defined syswrite($s, 'z' x 65536) ? 0 : $full + 1;
        last if $full > 20;
        sleep 0.002 if $full;
    }
}
my $deaf_kib = rss_kib($server->{pid}) - $base;
cmp_ok($deaf_kib, '>', $pending_kib * 0.8, "$deaf peers that never read use up pending_memory");
cmp_ok($deaf_kib, '<=', $many * 49 / 1024 + $pending_kib + 256 + 2 * $slack_kib, "$deaf peers that never read: $deaf_kib KiB in all, within pending_memory");
is(echo_of($idle[-1], 'still here'), 'still here', "$deaf peers that never read: the others are served");
reset_connection($_) for @idle;
ok(wait_for(sub { rss_kib($server->{pid}) <= $base + $many * 49 / 1024 + 256 + 2 * $slack_kib }), 'after resets their buffers are released');
is(stop_program($server), 0, 'SIGTERM: exit 0');

done_testing();
