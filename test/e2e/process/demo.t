#!/usr/bin/perl
# The lab without Docker: what `make demo` starts.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

plan skip_all => 'uses the shipped programs' if $Echolab::build ne 'build';

my %short = (CLI_LOOP_LAPSE => '900ms', CLI_LOOP_PERIOD => '200ms');
my ($code, $out, $err) = run_program(['tools/demo.sh', 3], env => \%short);
is($code, 0, 'the demo: exit 0') or diag $out;
is($err, '', 'the demo: nothing on stderr');
for my $i (1 .. 3) {
    like($out, qr/^client$i \| .*Message from server: \[CLIENT $i\]/m, "the demo: client$i talks, its name before each line");
    like($out, qr/^client$i \| .* ([1-9]\d*) sent, \1 echoed, 0 lost/m, "the demo: client$i loses nothing");
}
like($out, qr/^server \| .*SIGTERM: stopping/m, 'the demo: the server is stopped gracefully');
like($out, qr/^server \| .*0 cut$/m, 'the demo: the server logs its last line');
like($out, qr/^demo: server and 3 clients ended well$/m, 'the demo: it says that all ended well');

my $demo = start_program(['tools/demo.sh', 2], env => { CLI_LOOP_LAPSE => '30s', CLI_LOOP_PERIOD => '100ms' });
ok(wait_for_log($demo, qr/client2 \| .*N\S+3 sent/), 'a long demo: its clients talk');
my $t = time;
kill 'TERM', $demo->{pid};
is(exit_of($demo), 0, 'a long demo, SIGTERM: exit 0');
cmp_ok(time - $t, '<', 10, 'a long demo, SIGTERM: it ends at once');
like(log_of($demo), qr/client1 \| .*sent, .* 0 lost/, 'a long demo, SIGTERM: a client logs its summary');
like(log_of($demo), qr/server \| .*self-pipe closed/, 'a long demo, SIGTERM: the server logs its last close');

($code, $out, $err) = run_program(['tools/demo.sh', 1], env => { LAPSE => '300ms', CLI_LOOP_LAPSE => '1h' });
is("$code $err", '0 ', 'LAPSE: exit 0') or diag $out;
like($out, qr/^demo: server at 127\.0\.0\.1:\d+ and 1 client; Ctrl-C ends them$/m, 'LAPSE: it says what runs');
like($out, qr/^demo: server and 1 client ended well$/m, 'LAPSE: it ends');
($code, $out, $err) = run_program(['tools/demo.sh', 1], env => { LAPSE => '5' });
is("$code $out", '2 ', "LAPSE='5': exit 2, and nothing is started");
like($err, qr/^CLI_LOOP_LAPSE: '5' is not a duration; allowed: [^\n]+\n\z/, "LAPSE='5': it says what is allowed");

for my $n ('', '-1', '1001', 'x', '05') {
    my ($status, undef, $said) = run_program(['tools/demo.sh', $n]);
    is($status, 2, "N='$n': exit 2");
    like($said, qr/allowed: a whole number from 0 to 1000$/, "N='$n': it says what is allowed");
}

done_testing();
