#!/usr/bin/perl
# The lab on other people's machines, once per Compose that is there: a clone that others cannot
# read, a server that does not start, as many workers as there may be, logs that are followed,
# netcat with much and with nothing.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

my %to = (HOST => 'server', PORT => 12345, TIMEOUT_S => 5);

# ---- netcat: what is wrong is told before anything starts ------------------------------------
{
    my $lab = new_lab('echo compose:');
    lab($lab, 'generate 0');
    my $dir = temp_dir();
    system("mkdir $dir/folder && : >$dir/empty") == 0 or die;
    my $allowed_file = qr/allowed: a file/;
    for my $case (
        [{ MESSAGE_FILE => "$dir/folder" }, qr/is a folder; $allowed_file/], [{ MESSAGE_FILE => "$dir/none" }, $allowed_file],
        [{ MESSAGE_FILE => "$dir/empty" }, qr/is empty; allowed: one byte or more/], [{ MESSAGE => '' }, qr/allowed: any text/],
        [{ PORT => 65536 }, qr/allowed: 1 to 65535/], [{ PORT => '99999999999999999999' }, qr/allowed: 1 to 65535/], [{ PORT => '' }, qr/allowed: 1 to 65535/],
        [{ HOST => '-l' }, qr/allowed: a name or an address/], [{ HOST => '' }, qr/allowed: a name or an address/],
        [{ TIMEOUT_S => 0 }, qr/allowed: 1 to 3600/], [{ TIMEOUT_S => 'soon' }, qr/allowed: 1 to 3600/],
      )
    {
        my ($change, $allowed) = @$case;
        my ($name) = %$change;
        my ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', %$change);
        is($code, 2, "netcat: $name='$change->{$name}': exit 2");
        like($out, qr/^[^\n]*$allowed[^\n]*\n\z/, '... one line says what is allowed, and nothing is started');
    }
    unlink "$lab->{dir}/config/client.ini";
    my ($code, $out) = lab($lab, 'up');
    is($code, 1, 'up: a file that the lab mounts is not there: exit 1');
    like($out, qr{^lab: ../config/client\.ini is not there, and the lab mounts it$}m, '... which one');
}

my $big = temp_dir() . '/big';
system("head -c 100000000 /dev/urandom >$big") == 0 or die;

for my $compose (composes()) {
    my ($version) = `$compose version --short 2>/dev/null` =~ /(\S+)/;
    my $say = "Compose $version:";

    # ---- a clone that was made under umask 077 -----------------------------------------------
    my $lab = new_lab($compose);
    edit_config($lab, 'client.ini', loop_lapse => '5s', loop_period => '300ms', sandbox => 'on');
    system('chmod', '-R', 'go-rwx', $lab->{dir}) == 0 or die;
    lab($lab, 'generate 2');
    my ($code, $out) = lab($lab, 'up');
    is($code, 0, "$say a clone that only its owner can read starts") or diag $out;
    like($out, qr{^lab: \.\./config/$_ is readable for others now}m, "... $_ was set right, and that is said") for 'server.ini', 'client.ini';
    like($out, qr/^clients started: 2 of 2$/m, '... and how many clients were started');
    is(exit_code_of(container($lab, "client$_"), 30), 0, "... client$_ ends with 0") for 1, 2;
    ($code, $out) = lab($lab, 'up');
    unlike($out, qr/readable/, '... the second time there is nothing to set right');

    # ---- netcat ------------------------------------------------------------------------------
    chmod 0600, "$lab->{dir}/compose/netcat.sh";
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x');
    is($code, 0, "$say netcat, whose script only its owner can read") or diag $out;
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE_FILE => $big);
    is($code, 0, "$say netcat: 100 MB, in a sidecar that has 16 MiB for files") or diag $out;
    like($out, qr/sent 100000000 bytes to server:12345, got 100000000 back\nnetcat: every byte came back/, '... each byte was compared');
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE_FILE => $big, PORT => 12346);
    is($code, 1, "$say netcat: 100 MB to where nobody listens: exit 1");
    is($out, "netcat: server:12346 refused the connection: nobody listens there\n", '... and one line says why');
    for my $n (1, 2) { # whom Docker's name server does not know
        ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', HOST => "no-such-$n");
        is($code, 1, "$say netcat: a container that is not there: exit 1");
        is($out, "netcat: no-such-$n is not resolved; a container of this name may be stopped or disconnected\n", '... one line');
    }
    my $paused = container($lab, 'server');
    system "docker pause $paused >/dev/null";
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x', TIMEOUT_S => 2);
    system "docker unpause $paused >/dev/null";
    is("$code $out", "1 netcat: no answer from server:12345 within 2 s\n", "$say netcat: a server that hangs: one line");

    # ---- logs that are followed --------------------------------------------------------------
    local %ENV = (%ENV, COMPOSE => $compose, PROJECT => $lab->{project});
    my $logs = start_program(["$lab->{dir}/compose/lab.sh", 'logs'], env => { FOLLOW => 1 }, wrap => ['setsid']);
    ok(wait_for_log($logs, qr/listening on/, 20), "$say logs with FOLLOW=1");
    lab($lab, 'netcat', %to, MESSAGE => 'a new line of the log');
    ok(wait_for_log($logs, qr/a new line of the log/, 20), '... go on');
    kill 'INT', -$logs->{pid};
    ok(defined exit_of($logs, 20), '... until they are interrupted');
    lab($lab, 'down');

    # ---- netcat without a lab ----------------------------------------------------------------
    ($code, $out) = lab($lab, 'netcat', %to, MESSAGE => 'x');
    is("$code $out", "1 lab: the lab is not up: make up N=5\n", "$say netcat after down: exit 1, and what to type");
    is(`docker ps -aq --filter label=com.docker.compose.project=$lab->{project}; docker network ls -q --filter name=$lab->{project}`, '', '... no server and no network is left behind');

    # ---- until stopped, published, with somebody else's image --------------------------------
    my $port    = free_port();
    my $foreign = "echolab-test-student-$$:1";
    system("docker tag echolab-server:latest $foreign") == 0 or die;
    my $image = inspect($foreign)->{Id};
    my %with  = (LAPSE => 0, PUBLISH => $port, SERVER_IMAGE => $foreign);
    is((lab($lab, 'generate 1', %with))[0], 0, "$say LAPSE, PUBLISH, SERVER_IMAGE");
    is((command('tools/images.sh server', %with))[0], 0, '... images');
    ($code, $out) = lab($lab, 'up', %with);
    is($code, 0, '... up') or diag $out;
    like($out, qr/^lab: the server \(also at 127\.0\.0\.1:$port of this machine\) and 1 client are up; it talks until stopped\nnext: [^\n]+\n\z/m, '... the last lines say what runs');
    is(inspect(container($lab, 'server'))->{Image}, $image, '... the server is of that image');
    is(inspect($foreign)->{Id}, $image, '... which is as it was');
    is(scalar(grep { !/^\Q$foreign\E$/ } @{ inspect($image)->{RepoTags} }), scalar(@{ inspect($image)->{RepoTags} }) - 1, '... and has no other name from us');
    my $socket = wait_for(sub { connect_to($port) }, 10);
    is($socket && echo_of($socket, 'from outside'), 'from outside', '... it can be reached from this machine');
    my ($listening) = `docker port @{[container($lab, 'server')]}` =~ /-> (\S+)\n\z/;
    is($listening, "127.0.0.1:$port", '... at its loopback address only');
    sleep 6; # longer than client.ini says
    is(state_of(container($lab, 'client1'))->{Status}, 'running', '... and its client talks on');
    lab($lab, 'down');
    is(`docker network ls -q --filter name=$lab->{project}`, '', '... down removes both networks');
    system "docker rmi $foreign >/dev/null";

    # ---- as many workers as there may be -----------------------------------------------------
    edit_config($lab, 'server.ini', workers => 64);
    lab($lab, 'generate 1');
    ($code, $out) = lab($lab, 'up');
    is($code, 0, "$say 64 workers: the lab is healthy") or diag $out;
    my $pid   = state_of(container($lab, 'server'))->{Pid};
    my @tasks = glob "/proc/$pid/task/*";
    cmp_ok(scalar @tasks, '>=', 64, '... ' . @tasks . ' threads');
    is((lab($lab, 'netcat', %to, MESSAGE => 'x'))[0], 0, '... and echo');
    lab($lab, 'down');

    # ---- a server that does not start --------------------------------------------------------
    edit_config($lab, 'server.ini', workers => 65);
    for my $n (2, 0) {
        lab($lab, "generate $n");
        my $t = time;
        ($code, $out) = lab($lab, 'up');
        is($code, 1, "$say N=$n, a mistake in server.ini: up fails");
        like($out, qr{^lab: it did not start; the server's last lines:\nserver: /etc/echolab/server\.ini:\d+: workers: '65' is out of range; allowed: [^\n]+\n}m,
            '... and shows the server\'s last lines by itself');
        unlike($out, qr/^clients started/m, '... and claims nothing');
        cmp_ok(time - $t, '<', 30, '... within half a minute');
        lab($lab, 'down');
    }
}
done_testing;
