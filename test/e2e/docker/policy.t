#!/usr/bin/perl
# Who reaches whom, on real Docker networks: what is seen is what is so, and nothing stays.
use strict;
use warnings;
use Test::More;
use Echolab;
use EcholabDocker;

$SIG{$_} = 'DEFAULT' for qw(HUP INT);    # a shell's background has them ignored
plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;
for my $name ('server', 'client') {
    my ($code, $out) = command("tools/images.sh $name");
    is($code, 0, "the $name image is built") or diag $out;
}

my $project = "echolab-test-policy-$$";
my @start   = ("$EcholabDocker::top/compose/policy.sh");

sub left {
    return join ' ', grep { /^\Q$project\E/ } split /\s+/,
        `docker ps -a --format '{{.Names}}' --filter name=$project; docker network ls --format '{{.Name}}' --filter name=$project`;
}

sub policy {
    my ($text, %env) = @_;
    my $file = write_file(temp_dir() . '/matrix.txt', $text);
    my ($code, $out, $err) = run_program([@start, $file], env => { PROJECT => $project, SERVER_IMAGE => '', CLIENT_IMAGE => '', %env }, seconds => 120);
    is(left(), '', '(no container or network is left)');
    return ($code, $out . $err);
}

# ---- the repository's own matrix -----------------------------------------------------------------
my $own = slurp('compose/policy.txt');
my ($code, $out) = policy($own);
is($code, 0, 'compose/policy.txt: all as expected') or diag $out;
my $rows = () = $own =~ /^expect/mg;
is(scalar(() = $out =~ / ok$/mg), $rows, "... $rows rows");

# ---- an expectation that is not met --------------------------------------------------------------
my $parties = "server server lab\nclient inside lab\nclient outside elsewhere\n";
($code, $out) = policy("${parties}expect inside server:12345 refused\nexpect outside server:12345 echo\nexpect inside server:12345 echo\n");
is($code, 1, 'what is not as expected: exit 1');
like($out, qr/^inside +server:12345 +refused +echo +NOT AS EXPECTED$/m, '... an echo that must not be');
like($out, qr/^outside +server:12345 +echo +not-resolved +NOT AS EXPECTED$/m, '... an echo that must be');
like($out, qr/^inside +server:12345 +echo +echo +ok$/m, '... the third is right');
like($out, qr/^policy: 2 of 3 not as expected$/m, '... and the sum');

# ---- a network that is there ---------------------------------------------------------------------
my $network = "$project-there";
system("docker network create --internal $network >/dev/null") == 0 or die;
my $other = `docker run -d --network $network --network-alias elder echolab-server:latest`;
chomp $other;
my $file = write_file(temp_dir() . '/existing.txt', "server server lab\nclient guest existing:$network\nclient inside lab\nexpect guest elder:12345 echo\nexpect inside elder:12345 not-resolved\n");
my ($existing_code, $existing) = run_program([@start, $file], env => { PROJECT => $project, SERVER_IMAGE => '', CLIENT_IMAGE => '' }, seconds => 120);
is($existing_code, 0, 'a network and a server that are there') or diag $existing;
is(left(), $network, '... are there afterwards, too');
system("docker rm -f $other >/dev/null; docker network rm $network >/dev/null");
($code, $out) = policy("client guest existing:$network\nexpect guest elder:12345 echo\n");
is($code, 1, 'a network that is not there: exit 1');
like($out, qr/^policy: there is no network \Q$network\E, which the file calls existing$/m, '... and which');

# ---- a server that does not serve ------------------------------------------------------------------
my $brief = "echolab-test-brief:$$";
write_file(temp_dir() . '/brief/Dockerfile', qq(FROM echolab-client:latest\nENTRYPOINT ["/echo-client", "--version"]\n));
is((command("docker build -t $brief " . temp_dir() . '/brief'))[0], 0, 'an image that prints a line and ends');
($code, $out) = policy("${parties}expect inside server:12345 echo\n", SERVER_IMAGE => $brief);
command("docker rmi -f $brief");
is($code, 1, 'a server that ends at once: exit 1');
like($out, qr/^policy: the server server does not serve; its last lines are above$/m, '... is told');
like($out, qr/^echo-client \d/m, '... with its last lines');

# ---- as hardened as the lab, and nothing stays after a signal ----------------------------------------
my $lab = new_lab((composes())[0]);
lab($lab, 'generate 0');
lab($lab, 'up');
my $model = inspect(container($lab, 'server'))->{HostConfig};
for my $signal (qw(INT TERM HUP)) {
    my $slow = write_file(temp_dir() . '/slow.txt', "${parties}expect outside \@server:12345 timeout|unreachable\n" x 1 . "expect outside \@server:12345 timeout\n" x 20);
    my $program = start_program([@start, $slow], env => { PROJECT => $project, POLICY_TIMEOUT => '5s', SERVER_IMAGE => '', CLIENT_IMAGE => '' }, wrap => ['setsid']);
    my $seen = sub { my ($what) = @_; return (grep { /$what/ } split /\n/, `docker ps --format '{{.ID}} {{.Image}} {{.Names}}' --filter label=echolab.policy`)[0] };
    ok(wait_for(sub { $seen->('client:') }, 30), "$signal: comes while a client waits");
    if ($signal eq 'INT') {
        for my $who ('server:', 'client:') {
            my ($id) = ($seen->($who) // '') =~ /^(\S+)/;
            my $host = inspect($id // 'none')->{HostConfig};
            is_deeply($host->{$_}, $model->{$_}, "$who $_ is that of the lab") for qw(ReadonlyRootfs CapDrop CapAdd SecurityOpt PidsLimit Memory MemorySwap CpuShares IpcMode Privileged);
        }
    }
    kill $signal, -$program->{pid};
    isnt(exit_of($program, 40) // 0, 0, "$signal: it ends, with a failure");
    is(left(), '', "$signal: nothing is left");
}
done_testing;
