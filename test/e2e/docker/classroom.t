#!/usr/bin/perl
# In the lab: the load client in its network, and a broken server in place of the right one; once
# per Compose that is there.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;
for my $name ('server', 'client') {
    my ($code, $out) = command("tools/images.sh $name");
    is($code, 0, "the $name image is built") or diag $out;
}

# ---- wrong usage -----------------------------------------------------------------------------------
for my $case (['lab.sh', 'up', 'no-such'], ['lab.sh', 'up', 'leaks prefix'], ['images.sh', 'server', 'none']) {
    my ($script, $verb, $fault) = @$case;
    my $path = $script eq 'lab.sh' ? 'compose/lab.sh' : 'tools/images.sh';
    my ($code, $out, $err) = run_program([$path, $verb], env => { FAULT => $fault, SERVER_IMAGE => '' });
    is("$code $out", '2 ', "$script $verb, FAULT='$fault': exit 2");
    like($err, qr/\Alab: FAULT='\Q$fault\E' is unknown; allowed: short-write, [^\n]*ignores-term\n\z/, '... what is allowed');
}

# ---- images ----------------------------------------------------------------------------------------
my $listed = 0;
for my $fault (split ' ', (slurp('compose/fault.sh') =~ /^faults='(.*)'$/m)[0]) {
    my ($code, $out) = command('tools/images.sh server', FAULT => $fault);
    is($code, 0, "the image of $fault is built") or diag $out;
    my $info = inspect("echolab-fault:$fault");
    is_deeply([grep { /^FAULT=/ } @{ $info->{Config}{Env} }], ["FAULT=$fault"], '... with its fault');
    is($info->{Config}{User}, '65532:65532', '... whose user is not root');
    $listed++;
}
is($listed, 8, 'eight faults');
ok(!defined inspect('echolab-server:latest') || !grep { /^FAULT=/ } @{ inspect('echolab-server:latest')->{Config}{Env} }, 'the right image is as it was');

for my $compose (composes()) {
    my ($version) = `$compose version --short 2>/dev/null` =~ /(\S+)/;
    my $say = "Compose $version:";
    my $lab = new_lab($compose);
    edit_config($lab, 'client.ini', loop_lapse => '3s', loop_period => '100ms', sandbox => 'on');
    lab($lab, 'generate 1');

    # ---- load ----------------------------------------------------------------------------------
    my ($code, $out) = lab($lab, 'load');
    like("$code $out", qr{\A1 lab: the lab is not up[^\n]*\n\z}, "$say load without a lab");
    is((lab($lab, 'up'))[0], 0, "$say a lab");
    ($code, $out) = lab($lab, 'load', LOAD => '--connections 50 --messages 5000 --json');
    is($code, 0, "$say load: exit 0") or diag $out;
    my $report = eval { decode_json(($out =~ /^(\{.*\})$/m)[0]) };
    is_deeply([@$report{qw(connections messages_echoed messages_lost)}], [50, 5000, 0], '... 50 connections, 5000 echoes');
    ($code, $out) = lab($lab, 'load', LOAD => '--messages 10', PORT => 12346);
    is($code, 4, "$say load to where nobody listens: the client's exit code");
    ($code, $out) = lab($lab, 'load', LOAD => '--connections none');
    is($code, 2, "$say load: a wrong option: exit 2");
    like($out, qr/^--connections: 'none' is/m, '... with the client\'s own line');
    my $model = inspect(container($lab, 'client1'))->{HostConfig};
    my $load  = start_program(["$lab->{dir}/compose/lab.sh", 'load'], wrap => ['setsid'],
        env => { COMPOSE => $compose, PROJECT => $lab->{project}, LOAD => '--duration 10s' });
    my $id = wait_for(sub { container($lab, 'load') }, 20);
    my $host = wait_for(sub { inspect($id) }, 5)->{HostConfig};
    is_deeply($host->{$_}, $model->{$_}, "$say the load's $_ is that of a client") for qw(ReadonlyRootfs CapDrop CapAdd SecurityOpt PidsLimit Memory MemorySwap CpuShares IpcMode Privileged PortBindings);
    is(exit_of($load, 60), 0, '... and it ends');
    is(container($lab, 'load'), '', '... its container is gone');
    lab($lab, 'down');

    # ---- a broken server -----------------------------------------------------------------------
    ($code, $out) = lab($lab, 'up', FAULT => 'prefix');
    is($code, 0, "$say FAULT=prefix: the lab is up, and healthy") or diag $out;
    like(logs_of(container($lab, 'server')), qr/fault: prefix/, '... with the broken server');
    is(exit_code_of(container($lab, 'client1'), 30), 6, '... the client says that the reply differs');
    lab($lab, 'down');
    ($code, $out) = lab($lab, 'up', FAULT => 'ignores-term');
    my $server = container($lab, 'server');
    my $t = time;
    system "docker stop -t 2 $server >/dev/null";
    is(state_of($server)->{ExitCode}, 137, "$say FAULT=ignores-term: it has to be killed");
    cmp_ok(time - $t, '>=', 1.9, '... at the end of the grace period');
    lab($lab, 'down');
}
done_testing;
