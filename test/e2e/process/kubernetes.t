#!/usr/bin/perl
# The manifests for Kubernetes, as far as processes can tell: the programs take the arguments that stand
# there, and the drill's load sees a rolling update lose nothing. The update is played with what a node
# does: one address for all servers, iptables rules as kube-proxy writes them (a server at random, and
# connections that are there stay), a new server first, which counts when /readyz says so; the old one goes
# on for preStop's time, gets SIGTERM, and is out of the rules only a second after its end began.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $build = $Echolab::build;
plan(skip_all => 'an update is judged with the programs as shipped') if $build ne 'build';
enter_own_network();

my $service  = '10.96.0.1:12345';
my $base     = slurp('deploy/kubernetes/base/server.yaml');
my $lag      = 1;

# Words of a file's `args`, one list for each.
sub args_of {
    my ($file) = @_;
    return map { decode_json($_) } slurp("deploy/kubernetes/$file") =~ /args: (\[.*?\])/sg;
}

sub setting { my ($pattern) = @_; return $base =~ $pattern ? $1 : die "no $pattern in base/server.yaml" }
my $replicas  = setting(qr/replicas: (\d+)/);
my $min_ready = setting(qr/minReadySeconds: (\d+)/);
my $pre_stop  = setting(qr/sleep: \{seconds: (\d+)\}/);
my $grace     = setting(qr/terminationGracePeriodSeconds: (\d+)/);

# The words of a load, for the address here and a shorter time.
sub here {
    my ($args, $duration) = @_;
    my $words = join ' ', @$args;
    $words =~ s/\bservers?:12345\b/$service/g;
    $words =~ s/--duration \d+[ms]+/--duration $duration/ if $duration;
    return ("$build/echo-client", '-c', 'config/client.ini', split / /, $words);
}

sub command { my ($line) = @_; system($line) == 0 or die "$line: failed"; return }

# ---- servers behind one address ----------------------------------------------------------

# kube-proxy's rules for the servers, put in place at once.
sub write_rules {
    my @pods = @_;
    my $rules = "*nat\n:SERVICE - [0:0]\n";
    for my $i (0 .. $#pods) {
        my $share = @pods - $i;
        $rules .= '-A SERVICE -p tcp' . ($share > 1 ? " -m statistic --mode random --probability @{[sprintf '%.10f', 1 / $share]}" : '')
            . " -j DNAT --to-destination $pods[$i]{address}:12345\n";
    }
    open my $pipe, '|-', 'iptables-restore', '--noflush' or die;
    print $pipe $rules, "COMMIT\n";
    close $pipe or die 'iptables-restore failed';
    return;
}

my $pods = 0;
sub start_pod {
    my $address = '10.0.0.' . ++$pods;
    command("ip addr add $address/32 dev lo");
    my $pod = start_server(address => $address, port => 12345, config => 'config/server.ini', 'admin-address' => "$address:9100", 'log-level' => 'info');
    $pod->{address} = $address;
    wait_for(sub { is_ready($pod) }) or die "$address is not ready";
    return $pod;
}

sub is_ready {
    my ($pod) = @_;
    my $socket = IO::Socket::IP->new(PeerHost => $pod->{address}, PeerPort => 9100, Timeout => 1) or return 0;
    send_all($socket, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    return receive_until_eof($socket, 2) =~ m{^HTTP/1\.1 200 };
}

# Replaces so many servers. Returns those that are there then, and the old ones' exit codes.
sub rolling_update {
    my ($sleep, $count, @old) = @_;
    my @new;
    my @ending;
    while ($count-- > 0) {
        my $pod = shift @old;
        push @new, start_pod();
        write_rules(@new, $pod, @old);
        sleep $min_ready;
        my $began = time;
        push @ending, $pod;
        # What happens to it at which time, in order.
        my @steps = sort { $a->[0] <=> $b->[0] } [$sleep, sub { kill 'TERM', $pod->{pid} }], [$lag, sub { write_rules(@new, @old) }];
        for (@steps) {
            my ($at, $step) = @$_;
            my $rest = $began + $at - time;
            sleep $rest if $rest > 0;
            $step->();
        }
    }
    my @codes = map { exit_of($_, $grace) } @ending;
    return ([@new, @old], \@codes);
}

# The drill through an update of so many servers: of each of its loads the exit code, the report and what it
# said; the servers that are there then; the old ones' exit codes.
sub drill {
    my ($sleep, $count, @old) = @_;
    my (undef, @loads) = args_of('overlays/drill/job.yaml');
    my $seconds = int($count * ($min_ready + ($sleep > $lag ? $sleep : $lag)) + 6);
    my @clients = map { start_program([here($_, "${seconds}s"), '--json'], env => { CLI_LOG_LEVEL => 'error' }) } @loads;
    sleep 1.5;
    my ($new, $codes) = rolling_update($sleep, $count, @old);
    my @seen;
    for my $client (@clients) {
        my $code = exit_of($client, $seconds + 20);
        my $report = decode_json(log_of($client) || '{}');
        my $errors = $report->{errors} // {};
        push @seen, { code => $code // 'none', report => $report, said => slurp($client->{err}) };
        note sprintf 'preStop %d s: exit %s, %s of %s echoed, %s lost, errors: %s; outage %.0f ms, p99 %.1f ms', $sleep, $code // 'none',
            $report->{messages_echoed} // '?', $report->{messages_sent} // '?', $report->{messages_lost} // '?',
            join(', ', map {"$_ $errors->{$_}"} grep { $errors->{$_} } sort keys %$errors) || 'none',
            ($report->{outage_ns} // 0) / 1e6, ($report->{reply}{p99_ns} // 0) / 1e6;
    }
    return (\@seen, $new, $codes);
}

command("ip addr add 10.96.0.1/32 dev lo");
if (system('iptables -t nat -N SERVICE 2>/dev/null && iptables -t nat -A OUTPUT -d 10.96.0.1/32 -p tcp --dport 12345 -j SERVICE'
        . ' && iptables -t nat -A SERVICE -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.1:12345') != 0) {
    plan(skip_all => 'this kernel has no iptables rules of the kinds nat and statistic');
}

# ---- the arguments -----------------------------------------------------------------------

my ($wait)  = args_of('base/client.yaml');
command('iptables -t nat -F SERVICE');
my $waiting = start_program([here($wait)]);
sleep 1;
is(exit_of($waiting, 0), undef, 'the init container waits while there is no server');
my @servers = map { start_pod() } 1 .. $replicas;
write_rules(@servers);
is(exit_of($waiting, 20), 0, '... and ends with 0 when there is one');
is(log_of($waiting) . slurp($waiting->{err}), '', '... without a word');
for my $job (qw(load drill)) {
    my ($first, @loads) = args_of("overlays/$job/job.yaml");
    is_deeply($first, $wait, "$job: it waits in the same way");
    for (@loads) {
        my ($code, $out, $err) = run_program([here($_, '1s')]);
        is("$code $err", '0 ', "$job: its arguments are taken, and the load is kept");
        like($out, qr/ 0 lost\b/, "$job: nothing lost");
    }
}
my ($code) = run_program(["$build/echo-client", '-c', 'config/client.ini', '--server-address', $service, '--loop-lapse', '1s', '--loop-period', '200ms', '--admin-address', 'none'], env => { CLI_ID => 4 });
is($code, 0, 'a client of the Job, by its index');

# ---- the update --------------------------------------------------------------------------

# A client that this machine lets wait for 100 ms may send just when the server ends its connection:
# what an update loses, it loses each time.
my ($seen, $new, $codes) = (undef, \@servers);
for (1 .. 3) {
    ($seen, $new, $codes) = drill($pre_stop, $replicas, @$new);
    last if $seen->[0]{code} == 0;
}
is("$_->{code} $_->{said}", '0 ', 'a rolling update: the drill is passed by connections that ' . ($_ == $seen->[0] ? 'stay' : 'are made anew')) for @$seen;
is(join(' ', map { $_->{report}{messages_lost} } @$seen), '0 0', '... nothing lost');
is(join(' ', map { $_->{report}{errors}{refused} } @$seen), '0 0', '... nobody refused');
is(join(' ', @$codes), join(' ', (0) x $replicas), '... every old server stopped cleanly, within the grace period');
is(scalar(grep { is_ready($_) } @$new), $replicas, '... and all new ones serve');

# Without preStop a server stops accepting while the rules still send to it: why it is there.
($seen, $new) = drill(0, 1, @$new);
is($seen->[1]{code}, 10, 'without preStop the drill fails');
cmp_ok($seen->[1]{report}{errors}{refused}, '>', 0, '... since new connections are refused');

# A server that is killed loses what is under way: the drill must fail.
my ($args) = (args_of('overlays/drill/job.yaml'))[1];
my $client = start_program([here($args, '6s')], env => { CLI_LOG_LEVEL => 'error' });
sleep 1.5;
kill 'STOP', $new->[0]{pid};
sleep 0.5;
kill 'KILL', $new->[0]{pid};
is(exit_of($client, 20), 10, 'a server that is killed while it owes echoes: the drill fails with 10');
like(slurp($client->{err}) . log_of($client), qr/max-lost/, '... and says why');
done_testing;
