#!/usr/bin/perl
# The lab with real Docker, once per Compose that is there.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use EcholabDocker;

my @composes = composes();
cmp_ok(scalar @composes, '>=', 1, "there is Compose: @composes");

# ---- N -----------------------------------------------------------------------------------
{
    my $lab  = new_lab('true');
    my $file = "$lab->{dir}/compose/lab.yaml";
    for my $n ('-1', '1022', '99999', 'five', '1.5', '"5 6"', '""', '05', '+5', '"5
6"') {
        my ($code, $out) = lab($lab, "generate $n");
        is($code, 2, "N=$n: exit 2");
        like($out, qr/allowed: a whole number from 0 to 1021\n\z/, "N=$n: it says what is allowed");
    }
    ok(!-e $file, 'a wrong N writes nothing');
    is((lab($lab, 'generate 0'))[0], 0, 'N=0 is allowed: a lab without clients');
    is((lab($lab, 'generate 1021'))[0], 0, 'N=1021 is allowed');
    my $before = slurp($file);
    my $clients = () = $before =~ /^  client\d+:$/mg;
    is($clients, 1021, 'N=1021 writes 1021 clients');
    lab($lab, 'generate x');
    is(slurp($file), $before, 'a wrong N leaves an older file as it was');
    is(scalar(() = glob "$lab->{dir}/compose/.lab*"), 0, 'a wrong N leaves nothing half-written');
    unlike($before, qr/^version|container_name|^\s+ports:/m,
        'lab.yaml has no version, no container names, no published port');
    is(scalar(() = $before =~ /cap_drop/g), 1, 'lab.yaml has what is common once');
}

# All that the lab does, with one Compose.
sub check_lab {
    my ($compose) = @_;
    my $lab = new_lab($compose);

    # ---- five clients --------------------------------------------------------------------
    edit_config($lab, 'client.ini', loop_lapse => '2s', loop_period => '300ms', sandbox => 'on');
    edit_config($lab, 'server.ini', sandbox => 'on');
    is((lab($lab, 'generate 5'))[0], 0, 'lab.yaml for 5 clients is written');
    my ($code, $out) = lab($lab, 'up');
    is($code, 0, 'the lab goes up') or diag $out;
    my $server = container($lab, 'server');
    for my $i (1 .. 5) {
        my $client = container($lab, "client$i");
        is(exit_code_of($client), 0, "client$i: it ends with 0");
        my $log = logs_of($client);
        my ($sent, $echoed) = $log =~ /\[CLIENT $i\] (\d+) sent, (\d+) echoed, 0 lost/;
        cmp_ok($sent // 0, '>=', 4, "client$i: it sent its messages");
        is($echoed, $sent, "client$i: each message was echoed");
        my @replies = $log =~ /Message from server: \[CLIENT $i\] Message/g;
        is(scalar @replies, $sent, "client$i: each echo is logged");
    }
    like(logs_of($server), qr/sent \d+ bytes: \[CLIENT 3\] Message N\S+1 sent/,
        "the server's log shows each message");
    my @numbers = logs_of($server) =~ /connection (\d+) from \S+ accepted/g;
    my $sent_in_all = 0;
    $sent_in_all += (logs_of(container($lab, "client$_")) =~ /\] (\d+) sent,/)[0] for 1 .. 5;
    is("@numbers", join(' ', 1 .. $sent_in_all), "the server's connections are those of messages: health checks take no number and no line");
    ($code, $out) = lab($lab, 'logs');
    like($out, qr/client5.*Message from server/, 'lab.sh logs shows the clients');
    my @times = $out =~ /\| (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})Z /g;
    cmp_ok(scalar @times, '>', 50, '... with the server');
    is("@times", join(' ', sort @times), '... all in the order of their times');
    my $changes = 0; # from one container to another
    my @names = map { /^(\S+)/ } split /\n/, $out;
    $changes += $names[$_] ne $names[$_ - 1] for 1 .. $#names;
    cmp_ok($changes, '>', 20, '... not one container after the other');

    # ---- hardened ------------------------------------------------------------------------
    for my $name ('server', 'client1') {
        my $info = inspect(container($lab, $name));
        my $host = $info->{HostConfig};
        ok($host->{ReadonlyRootfs}, "$name: its root is read-only");
        is_deeply($host->{CapDrop}, ['ALL'], "$name: all capabilities are dropped");
        is_deeply($host->{CapAdd} // [], [], "$name: no capability is added");
        is_deeply($host->{SecurityOpt}, ['no-new-privileges:true'], "$name: it can gain no privileges");
        ok($host->{PidsLimit} > 0 && $host->{Memory} > 0, "$name: its processes and memory are limited");
        is_deeply([keys %{ $host->{PortBindings} // {} }], [], "$name: it publishes no port");
        is(scalar @{ $info->{Mounts} }, 1, "$name: it has one mount");
        my ($file) = $name =~ /^([a-z]+)/;
        is($info->{Mounts}[0]{Destination}, "/etc/echolab/$file.ini",
            "$name: the mount is its config file, by its own full name");
        ok(!$info->{Mounts}[0]{RW}, "$name: the mount is read-only");
    }
    my $pid    = state_of($server)->{Pid};
    my $status = slurp("/proc/$pid/status");
    like($status, qr/^CapEff:\s+0+$/m,    "the server's process has no capability");
    like($status, qr/^NoNewPrivs:\s+1$/m, "the server's process can gain no privileges");
    like($status, qr/^Seccomp_filters:\s+2$/m, "the server's process is behind the engine's filter and its own");
    like(logs_of($server), qr/DEBUG sandbox: no_new_privs, Landlock ABI \d+, seccomp$/m, 'the server logs its sandbox');
    like($status, qr/^Uid:\s+65532\s/m,   "the server's process is not root");
    my $outside = "echolab-test-outside-$$";
    system "docker network create $outside >/dev/null";
    my ($other) = `docker run -d --network $outside echolab-server:latest` =~ /(\w+)/;
    my ($address) = values %{ inspect($other)->{NetworkSettings}{Networks} };
    my @probe = ("$EcholabDocker::top/build/echo-client", '--server-address',
        "$address->{IPAddress}:12345", '--loop-lapse', '1ms', '--timeout', '1s');
    ok(wait_for(sub { (run_program(\@probe))[0] == 0 }), 'a server on another network can be reached from the host');
    is((run_program(\@probe, wrap => ['nsenter', '-t', $pid, '-n']))[0], 5,
        'a server on another network cannot be reached from inside the lab: there is no way out');
    system "docker rm -f $other >/dev/null; docker network rm $outside >/dev/null";

    # ---- netcat --------------------------------------------------------------------------
    my %to = (HOST => 'server', PORT => 12345, TIMEOUT_S => 5);
    my $big = temp_dir() . '/big';
    system "head -c 1048576 /dev/urandom >$big";
    my %messages = (
        'a word' => 'hello', 'blanks' => '  hola  mundo ', 'UTF-8' => 'ñandú ✓ 你好',
        'quotes and dollars' => q{"a" $HOME `id` \n *},
    );
    for my $what (sort keys %messages) {
        ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => $messages{$what});
        is($code, 0, "netcat, $what: exit 0");
        like($out, qr/^\Q$messages{$what}\E\nnetcat: every byte came back$/m, "netcat, $what: the echo is shown and exact");
    }
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', MESSAGE_FILE => $big);
    is($code, 0, 'netcat, 1 MiB: exit 0') or diag $out;
    like($out, qr/sent 1048576 bytes to server:12345, got 1048576 back/, 'netcat, 1 MiB: all of it came back');
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', PORT => 12346);
    is($code, 1, 'netcat, a port where nobody listens: exit 1');
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', PORT => 'x');
    is($code, 2, 'netcat, a wrong port: exit 2');

    # ---- another configuration, the same image -------------------------------------------
    my $image = inspect($server)->{Image};
    edit_config($lab, 'server.ini', port => 7777, level => 'info');
    edit_config($lab, 'client.ini', server_address => 'server:7777');
    ($code, $out) = lab($lab, 'up');
    is($code, 0, 'config edited, up once more') or diag $out;
    $server = container($lab, 'server');
    ok(wait_for(sub { logs_of($server) =~ /listening on \S+:7777$/m }),
        'config edited, up once more: the server listens on the new port');
    is(inspect($server)->{Image}, $image, 'config edited, up once more: the image is the same');
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'there', PORT => 7777);
    is($code, 0, 'config edited, up once more: the server answers on the new port');
    is(exit_code_of(container($lab, "client$_")), 0, "config edited, up once more: client$_ talks to the new port") for 1 .. 5;
    lab($lab, 'up');
    is(container($lab, 'server'), $server, 'nothing edited, up once more: the server goes on');

    # ---- down ----------------------------------------------------------------------------
    my $t = time;
    ($code, $out) = lab($lab, 'down');
    is($code, 0, 'the lab goes down') or diag $out;
    is(container($lab, 'server'), '', 'lab.sh down removes the containers');
    is(`docker network ls -q --filter name=$lab->{project}`, '', 'lab.sh down removes the network');

    # ---- the server stops while clients talk ---------------------------------------------
    edit_config($lab, 'server.ini', port => 12345);
    edit_config($lab, 'client.ini', server_address => 'server:12345', loop_lapse => '20s',
        loop_period => '10ms');
    ($code, $out) = lab($lab, 'up');
    is($code, 0, 'the lab goes up again') or diag $out;
    $server = container($lab, 'server');
    my @clients = map { container($lab, "client$_") } 1 .. 5;
    ok(wait_for(sub { 5 == grep { logs_of($_) =~ /N\S+20 sent/ } @clients }, 20),
        'five clients talk');
    system "docker stop -t 5 $server >/dev/null";
    is(state_of($server)->{ExitCode}, 0, 'the server stops while five clients talk: exit 0');
    my $log      = logs_of($server);
    my $accepted = () = $log =~ /connection \d+ from \S+ accepted/g;
    my $closed   = () = $log =~ /connection \d+ closed: peer ended it/g;
    is($closed, $accepted, "the server stops while five clients talk: all $accepted connections are logged as closed by their peers");
    like($log, qr/listener on \S+ closed\n.*stopped: .* 0 cut\n\z/s,
        'the server stops while five clients talk: every other close is logged');
    system "docker stop -t 5 @clients >/dev/null";
    for my $i (1 .. 5) {
        my $said = logs_of($clients[$i - 1]);
        my ($kinds) = $said =~ /\d+ lost \(([^)]*)\)/;
        unlike($kinds // '', qr/differs|closed early|reset/,
            "client$i: what it sent before the server stopped was echoed: " . ($kinds // 'nothing lost'));
        like($said, qr/SIGTERM: stopping\n.*admin address \S+ closed\n.*sent, .* echoed/,
            "client$i: SIGTERM ends it gracefully");
    }
    lab($lab, 'down');

    # ---- fifty at once -------------------------------------------------------------------
    edit_config($lab, 'client.ini', loop_lapse => '3s', loop_period => '200ms');
    lab($lab, 'generate 50');
    ($code, $out) = lab($lab, 'up');
    is($code, 0, 'a lab of 50 clients goes up') or diag $out;
    my $good = grep { (exit_code_of(container($lab, "client$_"), 60) // -1) == 0 } 1 .. 50;
    is($good, 50, '50 clients all end with 0');
    lab($lab, 'down');
}

for my $compose (@composes) {
    my ($version) = `$compose version --short 2>/dev/null` =~ /(\S+)/;
    group "Compose $version" => sub { check_lab($compose) };
}

done_testing();
