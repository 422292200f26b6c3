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
    for my $n ('-1', '1001', '99999', 'five', '1.5', '"5 6"', '""', '05', '+5', '"5
6"') {
        my ($code, $out) = lab($lab, "generate $n");
        is($code, 2, "N=$n: exit 2");
        like($out, qr/allowed: a whole number from 0 to 1000\n\z/, '... and what is allowed');
    }
    ok(!-e $file, 'nothing was written');
    is((lab($lab, 'generate 0'))[0], 0, 'N=0 is a lab without clients');
    is((lab($lab, 'generate 1000'))[0], 0, 'N=1000');
    my $before = slurp($file);
    my $clients = () = $before =~ /^  client\d+:$/mg;
    is($clients, 1000, '... has 1000 clients');
    lab($lab, 'generate x');
    is(slurp($file), $before, 'a wrong N leaves an older file as it was');
    is(scalar(() = glob "$lab->{dir}/compose/.lab*"), 0, '... and nothing half-written');
    unlike($before, qr/^version|container_name|^\s+ports:/m,
        'no version, no container names, no published port');
    is(scalar(() = $before =~ /cap_drop/g), 1, 'what is common is written once');
}

for my $compose (@composes) {
    my ($version) = `$compose version --short 2>/dev/null` =~ /(\S+)/;
    note "Compose $version";
    my $lab = new_lab($compose);
    my $say = "Compose $version:";

    # ---- five clients --------------------------------------------------------------------
    edit_config($lab, 'client.ini', loop_lapse => '2s', loop_period => '300ms', sandbox => 'on');
    edit_config($lab, 'server.ini', sandbox => 'on');
    is((lab($lab, 'generate 5'))[0], 0, "$say lab.yaml");
    my ($code, $out) = lab($lab, 'up');
    is($code, 0, "$say up") or diag $out;
    my $server = container($lab, 'server');
    for my $i (1 .. 5) {
        my $client = container($lab, "client$i");
        is(exit_code_of($client), 0, "$say client$i ends with 0");
        my $log = logs_of($client);
        my ($sent, $echoed) = $log =~ /\[CLIENT $i\] (\d+) sent, (\d+) echoed, 0 lost/;
        cmp_ok($sent // 0, '>=', 4, '... sent its messages');
        is($echoed, $sent, '... each was echoed');
        my @replies = $log =~ /Message from server: \[CLIENT $i\] Message/g;
        is(scalar @replies, $sent, '... and logged');
    }
    like(logs_of($server), qr/sent \d+ bytes: \[CLIENT 3\] Message N\S+1 sent/,
        "$say the lab's server shows each message");
    ($code, $out) = lab($lab, 'logs');
    like($out, qr/client5.*Message from server/, "$say logs");

    # ---- hardened ------------------------------------------------------------------------
    for my $name ('server', 'client1') {
        my $info = inspect(container($lab, $name));
        my $host = $info->{HostConfig};
        ok($host->{ReadonlyRootfs}, "$say $name: read-only");
        is_deeply($host->{CapDrop}, ['ALL'], '... all capabilities dropped');
        is_deeply($host->{CapAdd} // [], [], '... none added');
        is_deeply($host->{SecurityOpt}, ['no-new-privileges:true'], '... no new privileges');
        ok($host->{PidsLimit} > 0 && $host->{Memory} > 0, '... processes and memory limited');
        is_deeply([keys %{ $host->{PortBindings} // {} }], [], '... no published port');
        is(scalar @{ $info->{Mounts} }, 1, '... one mount');
        my ($file) = $name =~ /^([a-z]+)/;
        is($info->{Mounts}[0]{Destination}, "/etc/echolab/$file.ini",
            '... its config file, by its own full name');
        ok(!$info->{Mounts}[0]{RW}, '... read-only');
    }
    my $pid    = state_of($server)->{Pid};
    my $status = slurp("/proc/$pid/status");
    like($status, qr/^CapEff:\s+0+$/m,    "$say the process has no capability");
    like($status, qr/^NoNewPrivs:\s+1$/m, '... and can gain none');
    like($status, qr/^Seccomp_filters:\s+2$/m, "... is behind the engine's filter and its own");
    like(logs_of($server), qr/DEBUG sandbox: no_new_privs, Landlock ABI \d+, seccomp$/m, '... and tells');
    like($status, qr/^Uid:\s+65532\s/m,   '... and is not root');
    my $outside = "echolab-test-outside-$$";
    system "docker network create $outside >/dev/null";
    my ($other) = `docker run -d --network $outside echolab-server:latest` =~ /(\w+)/;
    my ($address) = values %{ inspect($other)->{NetworkSettings}{Networks} };
    my @probe = ("$EcholabDocker::top/build/echo-client", '--server-address',
        "$address->{IPAddress}:12345", '--loop-lapse', '1ms', '--timeout', '1s');
    ok(wait_for(sub { (run_program(\@probe))[0] == 0 }), "$say a server on another network");
    is((run_program(\@probe, wrap => ['nsenter', '-t', $pid, '-n']))[0], 5,
        '... cannot be reached from inside the lab: there is no way out');
    system "docker rm -f $other >/dev/null; docker network rm $outside >/dev/null";

    # ---- netcat --------------------------------------------------------------------------
    my %to = (HOST => 'server', PORT => 12345, TIMEOUT_S => 5);
    my $big = temp_dir() . '/big';
    system "head -c 1048576 /dev/urandom >$big";
    my %messages = (
        'a word' => 'hello', 'blanks' => '  hola  mundo ', 'UTF-8' => 'ñandú ✓ 你好',
        'an empty line' => '', 'quotes and dollars' => q{"a" $HOME `id` \n *},
    );
    for my $what (sort keys %messages) {
        ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => $messages{$what});
        is($code, 0, "$say netcat: $what");
        like($out, qr/^\Q$messages{$what}\E\nnetcat: every byte came back$/m, '... shown and exact');
    }
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', MESSAGE_FILE => $big);
    is($code, 0, "$say netcat: 1 MiB") or diag $out;
    like($out, qr/sent 1048576 bytes to server:12345, got 1048576 back/, '... all of it');
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', PORT => 12346);
    is($code, 1, "$say netcat: a port where nobody listens: exit 1");
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', PORT => 'x');
    is($code, 2, "$say netcat: a wrong port: exit 2");

    # ---- another configuration, the same image -------------------------------------------
    my $image = inspect($server)->{Image};
    edit_config($lab, 'server.ini', port => 7777, level => 'info');
    edit_config($lab, 'client.ini', server_address => 'server:7777');
    system "docker restart -t 5 $server >/dev/null";
    ok(wait_for(sub { logs_of($server) =~ /listening on \S+:7777$/m }),
        "$say config edited, container restarted: it behaves differently");
    is(inspect($server)->{Image}, $image, '... with the same image');
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'there', PORT => 7777);
    is($code, 0, '... and answers there');

    # ---- down ----------------------------------------------------------------------------
    my $t = time;
    ($code, $out) = lab($lab, 'down');
    is($code, 0, "$say down") or diag $out;
    is(container($lab, 'server'), '', '... removes the containers');
    is(`docker network ls -q --filter name=$lab->{project}`, '', '... and the network');

    # ---- the server stops while clients talk ---------------------------------------------
    edit_config($lab, 'server.ini', port => 12345);
    edit_config($lab, 'client.ini', server_address => 'server:12345', loop_lapse => '20s',
        loop_period => '10ms');
    ($code, $out) = lab($lab, 'up');
    is($code, 0, "$say up again") or diag $out;
    $server = container($lab, 'server');
    my @clients = map { container($lab, "client$_") } 1 .. 5;
    ok(wait_for(sub { 5 == grep { logs_of($_) =~ /N\S+20 sent/ } @clients }, 20),
        "$say five clients talk");
    system "docker stop -t 5 $server >/dev/null";
    is(state_of($server)->{ExitCode}, 0, '... the server stops: exit 0');
    my $log      = logs_of($server);
    my $accepted = () = $log =~ /connection \d+ from \S+ accepted/g;
    my $closed   = () = $log =~ /connection \d+ closed: peer ended it/g;
    is($closed, $accepted, "... all $accepted connections logged as closed by their peers");
    like($log, qr/listener on \S+ closed\n.*self-pipe closed\n.*stopped: .* 0 cut\n\z/s,
        '... and every other close');
    system "docker stop -t 5 @clients >/dev/null";
    for my $i (0 .. 4) {
        my $said = logs_of($clients[$i]);
        my ($kinds) = $said =~ /\d+ lost \(([^)]*)\)/;
        unlike($kinds // '', qr/differs|closed early|reset/,
            '... what a client sent before was echoed: ' . ($kinds // 'nothing lost'));
        like($said, qr/SIGTERM: stopping\n.*self-pipe closed\n.*sent, .* echoed/,
            '... and it ends gracefully itself');
    }
    lab($lab, 'down');

    # ---- fifty at once -------------------------------------------------------------------
    edit_config($lab, 'client.ini', loop_lapse => '3s', loop_period => '200ms');
    lab($lab, 'generate 50');
    ($code, $out) = lab($lab, 'up');
    is($code, 0, "$say 50 clients") or diag $out;
    my $good = grep { (exit_code_of(container($lab, "client$_"), 60) // -1) == 0 } 1 .. 50;
    is($good, 50, '... all end with 0');
    lab($lab, 'down');
}

done_testing();
