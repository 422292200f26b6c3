#!/usr/bin/perl
# deploy/kubernetes/overlay.sh: other numbers and images, and one line for each value that is wrong.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Manifests qw(render schema_faults pick pods);
use Test::More;

my $dir = tempdir(CLEANUP => 1);
system('cp', '-r', 'config', 'deploy', $dir) == 0 or die;
my $written = "$dir/build/kubernetes/kustomization.yaml";

# Exit code and all that it said.
sub overlay {
    my ($arguments, %environment) = @_;
    local @ENV{keys %environment} = values %environment;
    my $said = `$dir/deploy/kubernetes/overlay.sh $arguments 2>&1`;
    return ($? >> 8, $said);
}

sub read_written { local $/; open my $file, '<', $written or return ''; return scalar <$file> }

# R, N and all images of the pods, as rendered.
sub facts {
    my $objects = render("$dir/build/kubernetes");
    is(join('', map { map {"$_\n"} @$_ } schema_faults(@$objects)), '', '... and no schema is broken');
    my $job = pick($objects, 'Job', 'client')->{spec};
    my %images = map { $_->{image} => 1 } map { @{$_->[1]{spec}{containers}}, @{$_->[1]{spec}{initContainers} // []} } pods($objects);
    return join ' ', pick($objects, 'Deployment', 'server')->{spec}{replicas}, @$job{qw(completions parallelism)}, sort keys %images;
}

# What is wrong leaves nothing behind.
my $number = qr/a whole number from [01] to 1000/;
for (['', { R => 0 }, $number], ['', { R => 1001 }, $number], ['', { R => '' }, $number], ['', { R => '3x' }, $number], ['', { R => '03' }, $number],
    ['', { R => '99999999999999999999' }, $number], ['', { N => -1 }, $number], ['', { N => '$(id)' }, $number], ['', { N => "5\n6" }, $number],
    ['', { REGISTRY => 'https://registry.example' }, qr/a registry, and a path/], ['', { REGISTRY => 'registry.example/' }, qr/a registry, and a path/],
    ['', { REGISTRY => 'a b' }, qr/a registry/], ['', { SERVER_IMAGE => 'Echo:1' }, qr/an image like/], ['', { CLIENT_IMAGE => 'echo:' }, qr/an image like/],
    ['', { SERVER_IMAGE => 'echo@sha256:12' }, qr/an image like/], ['', { CLIENT_IMAGE => qq(x"}\n  - {) }, qr/an image like/], ['loads', {}, qr/base, load, drill, 1\.25/]) {
    my ($arguments, $environment, $allowed) = @$_;
    my ($code, $said) = overlay($arguments, %$environment);
    my $name = join ' ', $arguments, map {"$_=$environment->{$_}"} sort keys %$environment;
    $name =~ s/\n/ /g;
    is($code, 2, "$name: exit 2");
    like($said, qr/^overlay: \w+='.*' is wrong; allowed: $allowed[^\n]*\n\z/, '... in one line');
    ok(!-e $written, '... and nothing is written');
}
is((overlay('base load'))[0], 2, 'two overlays: exit 2');

is_deeply([overlay('')], [0, "build/kubernetes: 3 servers (echolab-server:latest), 5 clients (echolab-client:latest); kubectl apply -k build/kubernetes\n"], 'the default');
is(facts(), '3 5 5 echolab-client:latest echolab-server:latest', '... is the base');
is((overlay('drill', R => 7, N => 20, REGISTRY => 'registry.example:5000/lab'))[0], 0, 'numbers and a registry');
is(facts(), '7 20 20 registry.example:5000/lab/echolab-client:latest registry.example:5000/lab/echolab-server:latest', '... are in all pods, the drill\'s, too');
my $digest = 'sha256:' . '0a' x 32;
is((overlay('1.25', N => 0, SERVER_IMAGE => "localhost/echo\@$digest", CLIENT_IMAGE => 'me/client:1.2'))[0], 0, 'images by digest and tag');
is(facts(), "3 0 0 localhost/echo\@$digest me/client:1.2", '... are taken as they are');
my $before = read_written();
is((overlay('load', R => 0))[0], 2, 'a mistake afterwards');
is(read_written(), $before, '... leaves the older one as it was');
is(join(' ', glob "$dir/build/kubernetes/{*,.k*}"), $written, '... and no other file');
done_testing;
