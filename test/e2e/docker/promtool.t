#!/usr/bin/perl
# What the programs print for Prometheus, judged by Prometheus' own tool: a load's report, and
# /metrics of client and server. promtool is the machine's, or that of the lab's image.
use strict;
use warnings;
use Test::More;
use Echolab;
use EcholabDocker;
use AdminPages;

my $promtool = 'promtool';
if (!has_command('promtool')) {
    my ($code, $out) = command('tools/images.sh prometheus');
    my ($image) = $out =~ /^(\S+)\n\z/m;
    plan skip_all => 'no promtool here, and no image of it' if $code != 0 || !defined $image;
    $promtool = "docker run --rm -i --network none --entrypoint promtool $image";
}

# What it says about a text; nothing where all is well.
sub says {
    my ($text) = @_;
    my $file = write_file(temp_dir() . '/metrics', $text);
    my ($code, $out) = command("$promtool check metrics <$file");
    return "$code $out";
}

my $server = start_server('admin-address' => '127.0.0.1:0');
my $client = start_program(["$Echolab::build/echo-client", '--server-address', "127.0.0.1:$server->{port}", '--admin-address', '127.0.0.1:0', '--loop-period', '100ms']);
my ($code, $report) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$server->{port}", '--duration', '300ms', '--report', 'prometheus']);
is($code, 0, 'a load: exit 0');
is(says($report), '0 ', 'a load\'s report: promtool has nothing to say');
(undef, $report) = run_program(["$Echolab::build/echo-client", '--load', '127.0.0.1:' . free_port(), '--duration', '100ms', '--retry', '0s', '--report', 'prometheus']);
is(says($report), '0 ', 'a load without a server: promtool has nothing to say');
my $port = admin_port($client);
wait_for(sub { (scrape($port)->{'echo_client_messages_total{outcome="echoed"}'} // 0) >= 3 });
is(says((get($port, '/metrics'))[2]), '0 ', 'the client\'s /metrics: promtool has nothing to say');
is(says((get(admin_port($server), '/metrics'))[2]), '0 ', 'the server\'s /metrics: promtool has nothing to say');

# It does notice what is wrong.
isnt(says($report =~ s/^# HELP .*\n//mr), '0 ', 'a metric without help: promtool notices');
isnt(says($report =~ s/_seconds_bucket\{target="[^"]*",le="\+Inf"\} .*\n//r), '0 ', 'a histogram without its last bucket: promtool notices');
isnt(says($report . "echo_client_load_connects 1 2 3\n"), '0 ', 'no exposition: promtool notices');
is(stop_program($client), 0, 'the client: exit 0');
is(stop_program($server), 0, 'the server: exit 0');
done_testing();
