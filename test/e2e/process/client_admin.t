#!/usr/bin/perl
# The admin address of the periodic client: its pages, its numbers, and that nothing that is done
# there holds up a message.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use AdminPages;

my $is_real = $Echolab::build !~ /aarch64/;    # an emulator has descriptors of its own

# Descriptors that the parent process left open are not counted, so none is left here.
my @alone = ($^X, '-MPOSIX', '-e', 'POSIX::close($_) for 3 .. 1023; exec @ARGV or die', '--');

sub client {
    my ($to, %options) = @_;
    %options = ('--loop-lapse' => '60s', '--loop-period' => '50ms', %options);
    my $client = start_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$to", '--admin-address', '127.0.0.1:0', %options], wrap => \@alone);
    $client->{admin} = admin_port($client);
    return $client;
}

# The last page that is scraped until the code says that it is right.
sub scrape_until {
    my ($port, $is_right) = @_;
    my $series;
    wait_for(sub { $series = scrape($port); $is_right->($series) }, 10);
    return $series;
}

my $server = start_server();
my $echoed = 'echo_client_messages_total{outcome="echoed"}';

group 'the numbers' => sub {
    my $client = client($server->{port});
    my $port   = $client->{admin};
    my $n      = scrape_until($port, sub { ($_[0]{$echoed} // 0) >= 5 });
    my ($status, undef, $text) = get($port, '/metrics');
    is($status, 200, 'status 200');
    like($text, qr/\A(?:# HELP \w+ [^\n]+\n# TYPE \w+ (?:gauge|counter|histogram)\n(?:\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? \d+(?:\.\d+)?\n)+)+\z/, 'the text is an exposition');
    my @documented = map { [/^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\| (.+) \|$/] } grep {/^\| `/} split /\n/, slurp('docs/metrics.md') =~ s/.*^## The client's numbers\n//msr;
    my @told;
    for my $block (split /(?=^# HELP )/m, $text) {
        my ($name, $help) = $block =~ /^# HELP (\w+) (.+)$/m;
        my ($type) = $block =~ /^# TYPE \Q$name\E (\w+)$/m;
        my ($labels) = $block =~ /^\w+\{(.*?)\}/m;
        push @told, join ' | ', $name, $type, $type eq 'histogram' ? '' : join(', ', ($labels // '') =~ /(\w+)="/g), $help;
    }
    is(join("\n", @told), join("\n", map { join ' | ', @$_ } @documented), 'names, types, labels and help are those of docs/metrics.md, in its order');

    is(scalar(grep {/messages_total/} keys %$n), 9, 'each outcome is there');
    is(sum_of($n, 'echo_client_messages_total'), $n->{$echoed}, 'all were echoed');
    cmp_ok(abs($n->{echo_client_last_echo_timestamp_seconds} - time), '<', 30, 'the last echo was a moment ago');
    for my $name ('connect', 'reply') {
        my $full   = "echo_client_${name}_duration_seconds";
        my @bounds = sort { $a <=> $b } map { /^${full}_bucket\{le="([\d.]+)"\}$/ } keys %$n;
        my @values = map { $n->{"${full}_bucket{le=\"$_\"}"} } @bounds, '+Inf';
        is(scalar @bounds, 20, "$name: 20 bounds");
        is("@bounds[0, 1, 19]", '0.00005 0.0001 26.2144', "$name: from 50 us on, doubled");
        is("@values", join(' ', sort { $a <=> $b } @values), "$name: they rise");
        is($n->{"${full}_count"}, $values[-1], "$name: the last is the count");
        cmp_ok($n->{"${full}_count"}, '>=', 5, "$name: it is that of the echoed messages");
        cmp_ok($n->{"${full}_sum"}, '>', 0, "$name: their sum");
    }
    cmp_ok($n->{process_resident_memory_bytes}, '>', 50_000, 'memory is resident');
    cmp_ok(abs($n->{process_start_time_seconds} - time), '<', 60, 'the start was a moment ago');
    # The scrape's own descriptor is among them; a message's socket comes and goes.
    ok(wait_for(sub { scrape($port)->{process_open_fds} - 1 == open_fds($client->{pid}) }), 'the open descriptors, and that of the scrape') if $is_real;
    is((get($port, '/livez'))[0], 200, '/livez: 200');
    is(join(' ', (get($port, '/readyz'))[0, 2]), "200 ok\n", '/readyz: 200');
    is((get($port, '/'))[0], 404, 'another path: 404');
    is(stop_program($client), 0, 'exit 0');
    like(log_of($client), qr/admin address 127\.0\.0\.1:$port closed\n/, 'it is closed');
    ok(!connect_to($port, timeout => 1), 'nobody listens there any more');
    is(slurp($client->{err}), '', 'nothing on stderr');
};

group 'a server that goes away' => sub {
    my $other  = start_server();
    my $client = client($other->{port});
    my $port   = $client->{admin};
    scrape_until($port, sub { ($_[0]{$echoed} // 0) >= 1 });
    is((get($port, '/readyz'))[0], 200, 'before: ready');
    stop_program($other);
    my $refused = 'echo_client_messages_total{outcome="refused"}';
    my $n = scrape_until($port, sub { ($_[0]{$refused} // 0) >= 3 });
    cmp_ok($n->{$refused}, '>=', 3, 'refusals are counted');
    is(join(' ', (get($port, '/readyz'))[0, 2]), "503 refused\n", 'not ready, with the outcome');
    is((get($port, '/livez'))[0], 200, 'alive');
    my $last = $n->{echo_client_last_echo_timestamp_seconds};
    is(scrape($port)->{echo_client_last_echo_timestamp_seconds}, $last, 'the time of the last echo stays');
    my $again = start_server(port => $other->{port});
    ok(wait_for(sub { ((get($port, '/readyz'))[0] // 0) == 200 }), 'it is back: ready');
    cmp_ok(scrape($port)->{echo_client_last_echo_timestamp_seconds}, '>', $last, 'it is back: a later echo');
    stop_program($client);
    stop_program($again);
};

group 'before the first message is over' => sub {
    my $silent = odd_server(sub { sysread $_[0], my $bytes, 65536 while 1 });
    my $client = client($silent->{port}, '--timeout', '30s');
    is(join(' ', (get($client->{admin}, '/readyz'))[0, 2]), "503 no message yet\n", 'not ready');
    my $n = scrape($client->{admin});
    is(sum_of($n, 'echo_client_messages_total'), 0, 'all outcomes are there at 0');
    is($n->{echo_client_last_echo_timestamp_seconds}, '0.000000000', 'there was no echo');
    my $t = time;
    stop_program($client);
    cmp_ok(time - $t, '<', 5, 'a signal ends it at once');
};

# Connections that say nothing, that send byte by byte, that do not read, and a storm of scrapes.
group 'hostile peers' => sub {
    my $client = client($server->{port}, '--loop-period', '20ms');
    my $port   = $client->{admin};
    scrape_until($port, sub { ($_[0]{$echoed} // 0) >= 1 });
    my $base  = open_fds($client->{pid});
    my $quiet = scrape($port);
    my $end   = time + 3;
    my ($scrapes, @held) = (0);
    while (time < $end) {
        push @held, grep {defined} map { connect_to($port, timeout => 1) } 1 .. 3;
        send_all($held[-1], 'G') if @held;
        send_all($held[0], "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") if @held;
        shift @held while @held > 30;
        $scrapes++ if (get($port, '/metrics', timeout => 1, seconds => 0.2))[0];
    }
    close $_ for splice @held;
    my $after = scrape_until($port, sub { exists $_[0]{$echoed} });
    cmp_ok($after->{$echoed} - $quiet->{$echoed}, '>=', 30, 'messages go on');
    is(sum_of($after, 'echo_client_messages_total'), $after->{$echoed}, 'none is lost');
    my $slow = sub { my ($n) = @_; $n->{'echo_client_reply_duration_seconds_count'} - $n->{'echo_client_reply_duration_seconds_bucket{le="0.8192"}'} };
    is($slow->($after), 0, 'no reply is slow');
    ok(wait_for(sub { open_fds($client->{pid}) <= $base + 1 }), 'no descriptor stays') if $is_real;
    is(stop_program($client), 0, 'exit 0');
    is(slurp($client->{err}), '', 'nothing on stderr');
};

group 'with a name, which is looked up each time' => sub {
    my $client = start_program(["$Echolab::build/echo-client", '--server-address', "localhost:$server->{port}", '--admin-address', '[::1]:0', '--count', 20, '--loop-period', '50ms'], wrap => \@alone);
    my $port = admin_port($client);
    my $got  = wait_for(sub { (get($port, '/livez', host => '::1'))[0] });
    is($got, 200, 'IPv6: status 200');
    is(exit_of($client, 20), 0, 'exit 0');
};

# ---- what cannot be ------------------------------------------------------------------------
for my $case (
    [2, qr/^--admin-address: 'here' is not a numeric address(?: with its port)?; allowed: none, or address:port like 127\.0\.0\.1:9100 or \[::1\]:9100$/, '--admin-address', 'here'],
    [2, qr/^--admin-address, --load: it is for the loop; allowed: one of the two$/, '--load', '127.0.0.1:9999', '--admin-address', '127.0.0.1:9998'],
    [1, qr/ ERROR cannot bind 127\.0\.0\.1:\d+: Address (?:already )?in use$/m, '--admin-address', "127.0.0.1:$server->{port}", '--once'],
) {
    my ($wanted, $told, @how) = @$case;
    my ($code, $out, $err) = run_program(["$Echolab::build/echo-client", @how]);
    is($code, $wanted, "@how: exit $wanted");
    like($wanted == 2 ? $err : $out, $told, "@how: a line says why");
}

is(stop_program($server), 0, 'SIGTERM ends the server with 0');
done_testing();
