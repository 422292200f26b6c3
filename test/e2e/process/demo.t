#!/usr/bin/perl
# The lab without Docker: what `make demo` starts.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

plan skip_all => 'uses the shipped programs' if $Echolab::build ne 'build';

my %short = (CLI_LOOP_LAPSE => '900ms', CLI_LOOP_PERIOD => '200ms');
my ($code, $out, $err) = run_program(['compose/demo.sh', 3], env => \%short);
is($code, 0, 'the demo ends with 0') or diag $out;
is($err, '', '... with nothing on stderr');
for my $i (1 .. 3) {
    like($out, qr/^client$i \| .*Message from server: \[CLIENT $i\]/m, "... client$i talks, its name before each line");
    like($out, qr/^client$i \| .* ([1-9]\d*) sent, \1 echoed, 0 lost/m, '... and loses nothing');
}
like($out, qr/^server \| .*SIGTERM: stopping/m, '... the server is stopped gracefully');
like($out, qr/^server \| .*0 cut$/m, '... and says its last line');
like($out, qr/^demo: server and 3 clients ended well$/m, '... and that is said');

my $demo = start_program(['compose/demo.sh', 2], env => { CLI_LOOP_LAPSE => '30s', CLI_LOOP_PERIOD => '100ms' });
ok(wait_for_log($demo, qr/client2 \| .*N\S+3 sent/), 'a long demo');
my $t = time;
kill 'TERM', $demo->{pid};
is(exit_of($demo, 5), 0, '... told to stop: exit 0');
cmp_ok(time - $t, '<', 2, '... at once');
like(log_of($demo), qr/client1 \| .*sent, .* 0 lost/, '... each client with its summary');
like(log_of($demo), qr/server \| .*self-pipe closed/, '... the server to its last close');

for my $n ('', '-1', '1001', 'x', '05') {
    my ($status, undef, $said) = run_program(['compose/demo.sh', $n]);
    is($status, 2, "N='$n': exit 2");
    like($said, qr/allowed: a whole number from 0 to 1000$/, '... and what is allowed');
}

done_testing();
