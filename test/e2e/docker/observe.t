#!/usr/bin/perl
# A real Prometheus in the lab: its configuration, rules and their tests; what it gathers beside
# what the programs say themselves; an alert that fires and is resolved. With one Compose.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);
use Echolab;
use EcholabDocker;

plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;

my ($code, $out) = command('tools/images.sh prometheus');
is($code, 0, 'there is an image of Prometheus') or diag $out;
my ($image) = $out =~ /^(\S+)\n\z/m;

my $compose = (composes())[-1];
my $lab     = new_lab($compose);
my $folder  = "$lab->{dir}/compose/prometheus";

# promtool of that image, with the lab's files where Prometheus finds them.
sub promtool {
    my ($arguments, $input) = @_;
    return command("docker run --rm -i --network none -v $folder:/etc/prometheus:ro -w /etc/prometheus --entrypoint promtool $image $arguments <" . ($input // '/dev/null'));
}

sub edit {
    my ($file, $change) = @_;
    local $_ = slurp("$folder/$file");
    $change->();
    write_file("$folder/$file", $_);
}

# ---- the files ---------------------------------------------------------------------------------
lab($lab, 'generate 2');
($code, $out) = promtool('check config prometheus.yaml');
is($code, 0, 'promtool check config') or diag $out;
unlike($out, qr/WARNING/, '... without a warning');
like($out, qr/^Checking .*rules\.yaml\n  SUCCESS: \d+ rules found$/m, '... and check rules');
($code, $out) = promtool('test rules rules_test.yaml');
is($code, 0, 'promtool test rules') or diag $out;
my @alerts = slurp("$folder/rules.yaml") =~ /- alert: (\w+)/g;
cmp_ok(scalar @alerts, '>=', 5, "there are alerts: @alerts");
for my $alert (@alerts) {
    like(slurp("$folder/rules_test.yaml"), qr/alertname: $alert\n\s+exp_alerts/, "$alert: a test lets it fire");
    like(slurp("$folder/rules_test.yaml"), qr/alertname: $alert\}/, '... and another one not');
    like(slurp('docs/operating.md'), qr/^\| `$alert` \|/m, '... and docs/operating.md says what to do');
}
edit('rules.yaml', sub { s/> 0\.9$/> 0.8/m });
isnt((promtool('test rules rules_test.yaml'))[0], 0, 'a rule with another limit is noticed');

# ---- in the lab --------------------------------------------------------------------------------
# Short intervals, and alerts that do not wait.
edit('rules.yaml', sub { s/> 0\.8$/> 0.9/m; s/for: \w+/for: 1s/g });
edit('prometheus.yaml', sub { s/(scrape_interval|evaluation_interval): .*/$1: 500ms/g; s/scrape_timeout: .*/scrape_timeout: 400ms/ });
edit_config($lab, 'client.ini', loop_lapse => 0, loop_period => '100ms');
my $port = free_port();
my %with = (OBSERVE => $port, PROMETHEUS_IMAGE => $image);
is((lab($lab, 'generate 2', %with))[0], 0, 'lab.yaml with Prometheus is written');
($code, $out) = lab($lab, 'up', %with);
is($code, 0, 'the lab goes up with Prometheus') or die $out;
like($out, qr{^lab: Prometheus is at http://127\.0\.0\.1:$port of this machine$}m, '... and says where it is');

my $http = HTTP::Tiny->new(timeout => 5);

# The samples of an expression: "name{labels}" => value, without job.
sub query {
    my ($expression) = @_;
    my $answer = $http->get("http://127.0.0.1:$port/api/v1/query?" . $http->www_form_urlencode({ query => $expression }));
    my $samples = $answer->{success} ? decode_json($answer->{content})->{data}{result} : [];
    my %value;
    for my $sample (@$samples) {
        my %label = %{ $sample->{metric} };
        my $name  = delete($label{__name__}) // '';
        delete @label{ 'job', 'instance' };
        $value{ $name . (%label ? '{' . join(',', map { qq($_="$label{$_}") } sort keys %label) . '}' : '') . '@' . ($sample->{metric}{instance} // '') } = $sample->{value}[1];
    }
    return \%value;
}

# What a program itself says: the same, and its text.
sub ask {
    my ($service) = @_;
    my $address = inspect(container($lab, $service))->{NetworkSettings}{Networks}{"$lab->{project}_lab"}{IPAddress};
    my $text    = $http->get("http://$address:9100/metrics")->{content};
    my %value;
    for my $line (grep { !/^#/ } split /\n/, $text) {
        my ($name, $labels, $number) = $line =~ /^(\w+)(?:\{(.*)\})? (\S+)$/ or next;
        $labels = join ',', sort split /,/, $labels // '';
        $value{ $name . ($labels ne '' ? "{$labels}" : '') . "\@$service:9100" } = $number;
    }
    return (\%value, $text);
}

my @services = ('server', 'client1', 'client2');
my %up       = map { ("up\@$_:9100" => 1) } @services;
my $seen     = {};
ok(wait_for(sub { $seen = query('up'); join(' ', %$seen{ sort keys %$seen }) eq join(' ', %up{ sort keys %up }) }, 20), 'server and clients are scraped, each by its name') or diag explain $seen;

my %counter = (server => qr/^echo_server_(?:connections_accepted|received_bytes|echoed_bytes|pollset_rounds)_total\@/, client => qr/^echo_client_messages_total\{outcome="echoed"\}\@|^echo_client_reply_duration_seconds_count\@/);
for my $service (@services) {
    my ($first, $text) = ask($service);
    my ($kind) = $service =~ /^([a-z]+)/;
    ($code, $out) = promtool('check metrics', write_file("$lab->{dir}/metrics", $text));
    is("$code $out", '0 ', "$service: promtool check metrics has nothing to say");
    like($text, qr/\n\z/, '... it ends with a newline');

    my @counters = sort grep { /$counter{$kind}/ } keys %$first;
    cmp_ok(scalar @counters, '>=', 2, "$service: its counters: @counters");
    # A sample that was taken between two looks of ours lies between them.
    my $gathered;
    ok(wait_for(sub { $gathered = query(qq({instance="$service:9100"})); !grep { ($gathered->{$_} // -1) <= $first->{$_} } @counters }, 10), '... go on in Prometheus');
    my ($second) = ask($service);
    cmp_ok($gathered->{$_}, '<=', $second->{$_}, "... $_: $first->{$_} < $gathered->{$_} <= $second->{$_}") for @counters;
    my @missing = grep { !exists $gathered->{$_} } keys %$first;
    is("@missing", '', '... each series is there');
    my @unknown = grep { !exists $first->{$_} && !/^(?:up|scrape_\w+|ALERTS\w*|instance:.*)[\@{]/ } keys %$gathered;
    is("@unknown", '', '... and no other');
    my @same = grep { /_limit\@|build_info|process_max_fds|process_start_time/ } keys %$first;
    cmp_ok(abs($gathered->{$_} - $first->{$_}), '<', 1e-3, "... $_ is the same") for sort @same;
}
my $p99 = 'instance:echo_client_reply_duration_seconds:p99_5m';
ok(wait_for(sub { my $value = query($p99)->{"$p99\@client1:9100"}; defined $value && $value > 0 && $value < 1 }, 10), 'a recorded percentile is there');
is_deeply(query('ALERTS'), {}, 'no alert while all is well');

for my $service ('client1', 'server') {
    ($code, $out) = lab($lab, 'metrics', HOST => $service);
    is($code, 0, "make metrics HOST=$service") or diag $out;
    like($out, qr/^echo_${\($service =~ s{\d}{}r)}_build_info\{/m, '... prints them');
}
($code, $out) = lab($lab, 'metrics', HOST => 'client3');
is("$code $out", "2 lab: HOST='client3' has no metrics here; allowed: server, client1 to client2\n", '... of a client that is not there: exit 2, and who is');

# ---- an alert ----------------------------------------------------------------------------------
my $alert = 'ALERTS{alertname="EchoServerDown",alertstate="firing",severity="critical"}@server:9100';
my $server = container($lab, 'server');
my $t = time;
system "docker kill $server >/dev/null";
ok(wait_for(sub { query('ALERTS')->{$alert} }, 30), sprintf 'the server is killed: EchoServerDown fires after %.1f s', time - $t);
my $errors = 'ALERTS{alertname="EchoErrors",alertstate="firing",severity="critical"}@client1:9100';
ok(wait_for(sub { query('ALERTS')->{$errors} }, 30), '... and the clients see it: EchoErrors');
($code, $out) = lab($lab, 'metrics', HOST => 'server', TIMEOUT_S => 2);
is($code, 1, '... make metrics: exit 1');
like($out, qr/^metrics: server:9100: [^\n]+\n\z/, '... and one line says why');
$t = time;
system "docker start $server >/dev/null";
ok(wait_for(sub { !query('ALERTS')->{$alert} && query('up')->{'up@server:9100'} }, 30), sprintf 'it is back: resolved after %.1f s', time - $t);

# ---- as hardened as the others ---------------------------------------------------------------
my $info = inspect(container($lab, 'prometheus'));
my $host = $info->{HostConfig};
ok($host->{ReadonlyRootfs}, 'its root is read-only');
is_deeply([$host->{CapDrop}, $host->{CapAdd} // [], $host->{SecurityOpt}], [['ALL'], [], ['no-new-privileges:true']], 'it has no capability, and gains none');
is($info->{Config}{User}, '65532:65532', 'it is not root');
ok($host->{PidsLimit} > 0 && $host->{Memory} > 0, 'its processes and memory are limited');
is(join(' ', sort map { "$_->{Destination}:" . ($_->{RW} ? 'rw' : 'ro') } grep { $_->{Type} eq 'bind' } @{ $info->{Mounts} }), join(' ', map { "/etc/prometheus/$_.yaml:ro" } 'prometheus', 'rules', 'targets'), 'its files are mounted, each by its own full name, read-only');
is(scalar(grep { $_->{Type} eq 'volume' } @{ $info->{Mounts} }), 0, 'it leaves no volume');
is(`docker port $info->{Id}`, "9090/tcp -> 127.0.0.1:$port\n", 'it is published where OBSERVE says, and nowhere else');
unlike(logs_of($info->{Id}), qr/level=(?:warn|error)/i, 'it has nothing to complain about');

# ---- another number of clients; down -----------------------------------------------------------
lab($lab, 'generate 1', OBSERVE => 1);
($code, $out) = lab($lab, 'up', %with, OBSERVE => 1);
is($code, 0, 'up once more, with one client') or diag $out;
my ($address) = $out =~ m{^lab: Prometheus is at (http://[\d.]+:9090) of this machine$}m;
ok(defined $address && $http->get("$address/-/ready")->{success}, 'OBSERVE=1: it answers at its own address') or diag $out;
is(`docker port @{[container($lab, 'prometheus')]}`, '', '... and is not published');
($code, $out) = lab($lab, 'down');
is($code, 0, 'the lab goes down') or diag $out;
is(`docker ps -aq --filter label=com.docker.compose.project=$lab->{project}; docker network ls -q --filter name=$lab->{project}`, '', '... with Prometheus');
done_testing;
