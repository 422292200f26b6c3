#!/usr/bin/perl
# The policy matrix without Docker: what a file may say, and how what was seen becomes a table and
# an exit code. The engine is a stand-in that answers as the test says.
use strict;
use warnings;
use Test::More;
use Echolab;

plan skip_all => 'the script runs once, with the programs as shipped' if $Echolab::build ne 'build';

my $tmp = temp_dir() . '/tmp';
mkdir $tmp;
my $bin = temp_dir() . '/bin';

# docker: writes down what it is told; a client's exit code and words come from files.
sub stand_in {
    my (%how) = @_;
    my $clients = join "\n", map { "*'--server-address $_ '*) echo '$how{$_}[1]'; exit $how{$_}[0] ;;" } keys %how;
    write_file("$bin/docker", <<"END");
#!/bin/sh
echo "\$*" >>'$bin/told'
case "\$* " in
'inspect -f {{.State'*) echo 'true healthy' ;;
'inspect -f {{range'*) echo 192.0.2.7 ;;
'ps '*) echo c1 c2 ;;
'network ls'*) echo n1 ;;
$clients
esac
END
    chmod 0755, "$bin/docker";
    unlink "$bin/told";
    return;
}

sub policy {
    my ($text, @arguments) = @_;
    my $file = write_file(temp_dir() . '/matrix.txt', $text);
    my ($code, $out, $err) = run_program(['compose/policy.sh', @arguments, $file],
        env => { PATH => "$bin:$ENV{PATH}", TMPDIR => $tmp, PROJECT => 'proj', SERVER_IMAGE => '', CLIENT_IMAGE => '' });
    is(join(' ', glob "$tmp/*"), '', '(nothing is left)');
    return ($code, $out, $err =~ s/^\Q$file\E//mgr);
}

# ---- the file ------------------------------------------------------------------------------------
stand_in();
my $good = "server s lab\nclient c lab a=b # words\nexpect c s:7 echo\n";
is_deeply([policy($good, '--check')], [0, '', ''], 'a good file');
is_deeply([policy($good =~ s/\n/\r\n/gr, '--check')], [0, '', ''], '... with the line ends of another system');
is_deeply([policy("client c existing:net\nexpect c 192.0.2.1:7 timeout|refused\nexpect c [::1]:7 unreachable\n", '--check')], [0, '', ''], '... without a server of its own');
is((run_program(['compose/policy.sh', '--check']))[0], 0, "the repository's own");
my @bad = (
    ['',                    qr/^:0: nothing is expected; allowed: one line or more/],
    ["servant s lab\n",     qr/^:1: 'servant' is unknown; allowed: server, client, expect$/m],
    ["server s\n",          qr/^:1: server needs a name and a network; allowed: server NAME NETWORK/],
    ["client -s lab\n",     qr/^:1: '-s' is no name; allowed: letters/],
    ["client c lab\n\nserver c lab\n", qr/^:3: 'c' is defined twice; allowed: one line for each name$/m],
    ["client c a/b\n",      qr/^:1: 'a\/b' is no network; allowed: a name, or existing:NAME$/m],
    ["client c lab --privileged\n", qr/^:1: '--privileged' is no label; allowed: LABEL=VALUE$/m],
    ["client c lab\nexpect d s:7 echo\n", qr/^:2: no client 'd' is defined above; allowed: the name of a client line$/m],
    ["server s lab\nexpect s s:7 echo\n", qr/^:2: no client 's' is defined above/m],
    (map { ["client c lab\nexpect c $_ echo\n", qr/^:2: '\Q$_\E' has no port; allowed: SERVER:PORT, the port 1 to 65535$/m] } 's', 's:', 's:0', 's:65536', 's:x', 's:7x', 's:007'),
    ["client c lab\nexpect c -s:7 echo\n", qr/^:2: '-s:7' has no server; allowed: SERVER:PORT$/m],
    ["client c lab\nexpect c \@s:7 echo\n", qr/^:2: '\@s:7': no server 's' is defined above; allowed: with \@ the name of a server line$/m],
    ["client c lab\nexpect c \@c:7 echo\n", qr/^:2: '\@c:7': no server 'c' is defined above/m],
    (map { ["client c lab\nexpect c s:7 $_\n", qr/^:2: '\w*' is never seen; allowed: echo, differs, refused/m] } 'ok', 'echo|', '|', 'ECHO'),
    ["client c lab\nexpect c s:7\n", qr/^:2: expect needs three words; allowed: expect CLIENT SERVER:PORT SEEN$/m],
    ["client c lab\nexpect c s:7 echo now\n", qr/^:2: expect needs three words/m],
);
for my $case (@bad) {
    my ($text, $says) = @$case;
    my ($code, $out, $err) = policy($text);
    my $name = $text =~ s/\n/; /gr;
    is("$code $out", '2 ', "'$name': exit 2, and nothing is started");
    like($err, $says, '... the line, and what is allowed');
}
ok(!-e "$bin/told", 'the engine was asked for nothing');
my @lines = split /\n/, (policy("what\nserver s\nclient c lab x\n"))[2];
is(scalar @lines, 3, 'each mistake has a line');
for my $case (['/nonexistent'], ['/'], ['a', 'b']) {
    my ($code, $out, $err) = run_program(['compose/policy.sh', @$case]);
    is("$code $out", '2 ', "policy.sh @$case: exit 2");
    like($err, qr/\A[^\n]+\n\z/, '... one line');
}

# ---- what is seen --------------------------------------------------------------------------------
my %words = (
    'echo' => [0, 'Message from server'], 'not-resolved' => [3, 'not resolved'], refused => [4, 'connection refused'], unreachable => [4, 'Host is unreachable'],
    timeout => [5, 'timed out'], differs => [6, 'differs'], reset => [7, 'connection reset'], closed => [7, 'closed early'], 'failed(125)' => [125, 'no such image'],
);
my $matrix = "server s lab\nclient in lab\nclient out elsewhere role=x\n";
for my $word (sort keys %words) {
    stand_in('s:7' => $words{$word}, '192.0.2.7:7' => [0, '']);
    for my $expected (grep { !/failed/ } sort keys %words) {
        my ($code, $out, $err) = policy("${matrix}expect out s:7 $expected\nexpect in \@s:7 echo\n");
        my $is_right = $word eq $expected;
        is($code, $is_right ? 0 : 1, "expected $expected, seen $word: exit $code");
        like($out, $is_right ? qr/^out +s:7 +\Q$expected\E +\Q$word\E +ok$/m : qr/^out +s:7 +\Q$expected\E +\Q$word\E +NOT AS EXPECTED$/m, '... and the row says so');
        like($out, qr/^in +\@s:7 +echo +echo +ok$/m, '... the other row is as it was');
        like($out . $err, $is_right ? qr/^policy: all 2 as expected$/m : qr/^policy: 1 of 2 not as expected$/m, '... and the sum');
    }
}
stand_in('s:7' => [5, '']);
is((policy("${matrix}expect out s:7 refused|timeout\n"))[0], 0, 'one of several is enough');
like((policy("${matrix}expect out s:7 failed\n"))[2], qr/'failed' is never seen/, 'that the engine failed cannot be expected');

# ---- what the engine is told ---------------------------------------------------------------------
stand_in('s:7' => [0, '']);
policy("${matrix}expect out s:7 echo\n");
my $told = slurp("$bin/told");
my ($run) = $told =~ /--label echolab\.policy=(\S+) /;
like($run, qr/^proj-policy-\d+$/, 'names of this run');
like($told, qr/^network create --internal --label echolab\.policy=\Q$run\E \Q$run\E-$_$/m, "the network $_ has no way out") for qw(lab elsewhere);
like($told, qr/^run -d --name \Q$run\E-s --network \Q$run\E-lab --network-alias s .*--read-only --cap-drop ALL .*echolab-server:latest$/m, 'the server, hardened');
like($told, qr/^run --rm --network \Q$run\E-elsewhere .*--label role=x .*--read-only --cap-drop ALL .*echolab-client:latest --once --server-address s:7 --timeout 3s$/m, 'the client, in its network, with its label, hardened');
like($told, qr/^rm -f c1 c2\n.*^network rm n1$/ms, 'all is removed at the end');
done_testing;
