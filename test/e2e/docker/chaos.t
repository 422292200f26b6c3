#!/usr/bin/perl
# Chaos in the lab: server and clients are paused, disconnected, killed and started again while
# the clients probe. Every message is echoed exactly or reported, failures fall into the time of
# a fault and nowhere else, and the clients' outage was as long as the fault lasted.
use strict;
use warnings;
use utf8;
use Encode qw(decode);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Time::Local qw(timegm);
use Echolab;
use EcholabDocker;

my ($compose) = composes();
plan skip_all => 'no Docker with Compose here' if !$compose || system('docker info >/dev/null 2>&1') != 0;
for my $name ('server', 'client') {
    my ($code, $out) = command("tools/images.sh $name");
    is($code, 0, "the $name image is built") or diag $out;
}

my $clients   = 3;
my $timeout_s = 0.5;
my $slack_s   = 1.5;    # Docker's own commands take that long on a busy machine
my $lab       = new_lab($compose);
edit_config($lab, 'client.ini', loop_lapse => '0s', interval => '50ms', timeout => "${timeout_s}s", sandbox => 'on');
edit_config($lab, 'server.ini', sandbox => 'on');
lab($lab, "generate $clients");
my ($code, $out) = lab($lab, 'up');
is($code, 0, 'the lab is up') or diag $out;
my $server = container($lab, 'server');
my %client = map { $_ => container($lab, "client$_") } 1 .. $clients;
my ($network) = keys %{ inspect($server)->{NetworkSettings}{Networks} };

# What became of each message of a client: [time, number, was it echoed, what the log says].
sub outcomes_of {
    my ($id) = @_;
    my @outcomes;
    for my $line (split /\n/, decode('UTF-8', logs_of($id))) {
        my ($y, $mo, $d, $h, $mi, $s, $ms, $text) = $line =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d+)Z \S+ +\[CLIENT \d+\] (.*)/ or next;
        my $when = timegm($s, $mi, $h, $d, $mo - 1, $y) + $ms / 1000;
        push @outcomes, [$when, $1, 1, $text] if $text =~ /^Message from server: \[CLIENT \d+\] Message N°(\d+) sent$/;
        push @outcomes, [$when, $1, 0, $text] if $text =~ /^Message N°(\d+) to / && $text !~ / interrupted: /;
    }
    return @outcomes;
}

sub last_echo { my ($id) = @_; my @echoed = grep { $_->[2] } outcomes_of($id); return $echoed[-1] ? $echoed[-1][0] : 0 }

# All clients echo again, since `since`.
sub all_echo {
    my ($since) = @_;
    return wait_for(sub { $clients == grep { last_echo($client{$_}) > $since } keys %client }, 15);
}

ok(all_echo(0), 'all clients have an echo');
my @faults;

# A fault from begin to end; who of the clients suffers.
sub fault {
    my ($name, $begin, $end, %how) = @_;
    my $from = time;
    is((command($begin))[0], 0, "$name: it begins");
    my $holds = time;
    sleep($how{seconds} // 1.2);
    my $until = time;
    my ($end_code, $end_out) = command($end);
    is($end_code, 0, "$name: it ends") or diag $end_out;
    my $over = time;
    ok(all_echo($over), "$name: all clients echo afterwards") or diag logs_of($server);
    push @faults, { name => $name, from => $from, holds => $holds, until => $until, over => $over,
        suffers => $how{suffers} // [1 .. $clients], may => $how{may} // [] };
}

fault('the server is paused',       "docker pause $server",  "docker unpause $server");
fault('the server is disconnected', "docker network disconnect $network $server", "docker network connect --alias server $network $server");
fault('client 2 is disconnected',   "docker network disconnect $network $client{2}", "docker network connect $network $client{2}", suffers => [2]);
fault('the server is killed',       "docker kill -s KILL $server", "docker start $server");
fault('the server is stopped',      "docker stop $server", "docker start $server");
fault('client 3 is paused',         "docker pause $client{3}", "docker unpause $client{3}", suffers => [], may => [3]);

# ---- ten stops under load: process 1 of its container gets no default action of a signal --------
# (The clients are still there: an address of theirs that became free would be the server's next.)
my $stops = 10;
group 'ten stops under load' => sub {
    my $load = `docker run -d --network $network echolab-client:latest --load server:12345 --duration 0s --rate 500 --connections 20 --retry 20ms --timeout 500ms --json`;
    chomp $load;
    my $address = inspect($load)->{NetworkSettings}{Networks}{$network}{IPAddress};
    my ($right, $longest, $from) = (0, 0, time);
    for my $n (1 .. $stops) {
        # Its pause before it connects again doubles up to 5 s.
        wait_for(sub { (split /listening on/, logs_of($server))[-1] =~ /from \Q$address\E:\d+ accepted/ }, 10);
        sleep 0.1 * ($n % 4);
        my $t = time;
        command("docker kill -s TERM $server" . ($n % 2 ? " && docker kill -s TERM $server" : ''));    # sometimes twice
        my $exit = exit_code_of($server, 10);
        my $took = time - $t;
        $longest = $took if $took > $longest;
        my ($cut) = logs_of($server) =~ /.*stopped: .* (\d+) cut$/ms;
        $right++ if defined $exit && $exit == ($cut ? 1 : 0);
        command("docker start $server");
    }
    is($right, $stops, sprintf '%d times the exit code is right, the longest stop took %.1f s', $stops, $longest);
    cmp_ok($longest, '<', 5, 'each stop is within the grace period');
    ok(wait_for(sub { my @n = logs_of($server) =~ /listening on/g; @n > $stops }), 'it starts again after each stop');
    my $over = time;
    sleep 0.5;
    command("docker kill -s INT $load");
    my $exit = exit_code_of($load, 10);
    my ($json) = `docker logs $load 2>/dev/null` =~ /(\{.*\})/;
    my $r = eval { decode_json($json // '') } // {};
    is($r->{messages_sent}, ($r->{messages_echoed} // 0) + ($r->{messages_lost} // 0) + ($r->{messages_unfinished} // 0),
        sprintf 'the load: %d messages sent = echoed + lost + unfinished', $r->{messages_sent} // -1);
    note(encode_json($r->{errors}), " $r->{messages_skipped} skipped, $r->{connects} connects");
    is($r->{errors}{differs}, 0, 'the load: no reply differs');
    cmp_ok($r->{messages_echoed} // 0, '>', 1000, 'the load: more than 1000 messages are echoed');
    my $failures = 0;
    $failures += $_ for values %{ $r->{failures} // {} };
    cmp_ok($failures, '>=', $r->{messages_lost} // 1, "the load: $failures failures, each lost message is one");
    is($exit ? 1 : 0, $failures ? 1 : 0, "the load: its exit code says so: $exit");
    command("docker rm -f $load");
    ok(all_echo($over), 'all clients echo afterwards');
    push @faults, { name => 'ten stops', from => $from, over => $over, suffers => [], may => [1 .. $clients], most => 1000 };
};

# Failures of a fault come until its messages timed out, but before the next one begins.
for my $n (0 .. $#faults) {
    my $late = $faults[$n]{over} + $timeout_s + $slack_s;
    my $next = $n < $#faults ? $faults[$n + 1]{from} : $late;
    $faults[$n]{late} = $late < $next ? $late : $next;
}

# ---- what the clients say ----------------------------------------------------------------------
sub judge_client {
    my ($i) = @_;
    command("docker kill -s TERM $client{$i}");
    my $exit     = exit_code_of($client{$i}, 10);
    my @outcomes = outcomes_of($client{$i});
    my $log      = decode('UTF-8', logs_of($client{$i}));
    my ($sent, $echoed, $lost, $kinds) = $log =~ /\[CLIENT $i\] (\d+) sent, (\d+) echoed, (\d+) lost(?: \((.*?)\))?/;
    # The last one may have been interrupted: neither echoed nor lost.
    my $is_interrupted = $log =~ /\] Message N°\d+ to \S+ interrupted: / ? 1 : 0;
    is(($echoed // 0) + ($lost // 0) + $is_interrupted, $sent, 'sent = echoed + lost');
    my @numbers = map { $_->[1] } @outcomes;
    is_deeply(\@numbers, [1 .. @numbers], 'each message has one outcome in the log, in order');
    is(scalar(grep { $_->[2] } @outcomes), $echoed, 'as many are echoed as the summary says');
    is(scalar(grep { !$_->[2] } @outcomes), $lost, 'as many are lost as the summary says');
    unlike($kinds // '', qr/differs/, 'no reply differs');
    like($exit, qr/^[3457]$/, "its exit code names a kind of failure: $exit, $kinds");
    my @stray = grep { my $o = $_; !$o->[2] && !grep { $o->[0] >= $_->{from} && $o->[0] <= $_->{late} } @faults } @outcomes;
    is_deeply([map { $_->[3] } @stray], [], 'nothing fails but in a fault');
    for my $fault (@faults) {
        my @failed = grep { !$_->[2] && $_->[0] >= $fault->{from} && $_->[0] <= $fault->{late} } @outcomes;
        if (!grep { $_ == $i } @{ $fault->{suffers} }) {
            my $most = (grep { $_ == $i } @{ $fault->{may} }) ? $fault->{most} // 1 : 0;
            cmp_ok(scalar @failed, '<=', $most, "$fault->{name}: not concerned, at most $most failed");
            next;
        }
        cmp_ok(scalar @failed, '>=', 1, "$fault->{name}: " . @failed . ' messages failed');
        my ($before) = reverse grep { $_->[2] && $_->[0] < $fault->{holds} } @outcomes;
        my ($after)  = grep { $_->[2] && $_->[0] > $fault->{until} } @outcomes;
        my $outage = $after->[0] - $before->[0];
        my ($least, $most) = ($fault->{until} - $fault->{holds}, $fault->{over} - $fault->{from} + $timeout_s + $slack_s);
        ok($outage >= $least && $outage <= $most, sprintf '%s: an outage of %.2f s, the fault lasted for %.2f to %.2f s',
            $fault->{name}, $outage, $least, $fault->{over} - $fault->{from});
    }
}
for my $i (sort keys %client) {
    group "client $i" => sub { judge_client($i) };
}
is((command("docker stop $server"))[0], 0, 'the server stops at the end');
{
    my $log = logs_of($server);
    my ($accepted, $closed) = (scalar(() = $log =~ /accepted$/mg), scalar(() = $log =~ /connection \d+ closed/g));
    cmp_ok($accepted - $closed, '<=', $clients, "the server logged $accepted accepts and $closed closes: all but those of the kill");
}

# ---- peers that never read, and a limit of memory for them ---------------------------------------
# The formula (README): what the server keeps, 260 KiB for each, and the kernel's buffers: what
# tcp_rmem and tcp_wmem allow.
group '20 peers that never read' => sub {
    my $peers = 20;
    my $most  = 0;
    $most += (split ' ', slurp("/proc/sys/net/ipv4/$_"))[2] for 'tcp_rmem', 'tcp_wmem';
    my $limit = 4 * 1024 * 1024 + $peers * (260 * 1024 + $most);
    my ($id) = `docker run -d --network $network --memory $limit --memory-swap $limit --read-only echolab-server:latest --max-connections $peers --write-timeout 0s` =~ /(\w+)/;
    my $address = inspect($id)->{NetworkSettings}{Networks}{$network}{IPAddress};
    ok(wait_for(sub { logs_of($id) =~ /listening on/ }), sprintf 'a server with %d MiB for them listens', $limit >> 20);
    my @deaf = grep {$_} map { IO::Socket::IP->new(PeerHost => $address, PeerPort => 12345, Timeout => 2) } 1 .. $peers;
    is(scalar @deaf, $peers, 'all connect');
    my $sent  = send_unread(4 * $limit, @deaf);
    my $state = state_of($id);
    ok($state->{Running} && !$state->{OOMKilled}, sprintf 'the server lives after %d MB that nobody reads', $sent / 1e6);
    cmp_ok($sent, '>', $peers * 500_000, 'they sent enough to fill all buffers');
    close $_ for @deaf;
    ok(wait_for(sub { my $s = IO::Socket::IP->new(PeerHost => $address, PeerPort => 12345, Timeout => 1); $s && echo_of($s, 'still') eq 'still' }, 10),
        'the server serves the next one after them');
    command("docker rm -f $id");
};
done_testing;
