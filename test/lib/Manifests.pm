# The manifests of deploy/kubernetes as kubectl renders and reads them, without a cluster.
# kubectl and the schemas are those that test/manifests/tools.sh puts into build/manifests.
package Manifests;
use strict;
use warnings;
use Exporter 'import';
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use JSON::PP;
use Storable qw(dclone);

our @EXPORT_OK = qw(@roots kustomize dry_run render schema_faults pick pods copy);

# All that can be applied: kubectl apply -k deploy/kubernetes/ROOT.
our @roots = ('base', map { s{^deploy/kubernetes/}{}r } sort glob 'deploy/kubernetes/overlays/*');

my $json = JSON::PP->new->canonical->utf8;
my $nowhere = 'http://127.0.0.1:1';

# What a cluster would answer when it is asked for the kinds that it knows, where kubectl keeps such
# answers: so it need not ask. Group and version, plural, kind, namespaced or not.
my @kinds = (
    ['v1', 'configmaps', 'ConfigMap', 1],
    ['v1', 'namespaces', 'Namespace', 0],
    ['v1', 'services', 'Service', 1],
    ['apps/v1', 'deployments', 'Deployment', 1],
    ['batch/v1', 'jobs', 'Job', 1],
    ['networking.k8s.io/v1', 'networkpolicies', 'NetworkPolicy', 1],
    ['policy/v1', 'poddisruptionbudgets', 'PodDisruptionBudget', 1],
);

sub write_file {
    my ($path, $value) = @_;
    open my $file, '>', $path or die "$path: $!";
    print $file $json->encode($value);
    close $file or die "$path: $!";
    return;
}

# A folder for kubectl, with those answers; made when it is needed, since `perl -c` runs this file.
my $folder;
sub work {
    return $folder if $folder;
    $folder = tempdir(CLEANUP => 1);
    write_discovery("$folder/cache/discovery/127.0.0.1_1");
    return $folder;
}

sub write_discovery {
    my ($at) = @_;
    my (%resources, @groups);
    for my $row (@kinds) {
        my ($version, $plural, $kind, $is_namespaced) = @$row;
        push @{$resources{$version}}, { name => $plural, singularName => lc $kind, kind => $kind, verbs => ['create'],
            namespaced => $is_namespaced ? JSON::PP::true : JSON::PP::false };
    }
    for my $version (sort keys %resources) {
        my ($group, $short) = $version =~ m{^(?:(.*)/)?(.*)$};
        my $one = { groupVersion => $version, version => $short };
        push @groups, { name => $group // '', versions => [$one], preferredVersion => $one };
        make_path("$at/$version");
        write_file("$at/$version/serverresources.json", { kind => 'APIResourceList', apiVersion => 'v1', groupVersion => $version,
            resources => $resources{$version} });
    }
    write_file("$at/servergroups.json", { kind => 'APIGroupList', apiVersion => 'v1', groups => \@groups });
    return;
}

# Runs a program, never with this user's own cluster; the input is a text. Exit code, output, messages.
sub run {
    my ($input, @command) = @_;
    my $work = work();
    open my $file, '>', "$work/in" or die $!;
    print $file $input;
    close $file or die $!;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        $ENV{KUBECONFIG} = $ENV{HOME} = '/nonexistent';
        open STDIN, '<', "$work/in" or die $!;
        open STDOUT, '>', "$work/out" or die $!;
        open STDERR, '>', "$work/err" or die $!;
        exec 'timeout', 60, @command or die "exec: $!";
    }
    waitpid $pid, 0;
    my $code = $? >> 8;
    my @texts = map { local $/; open my $from, '<', "$work/$_" or die $!; scalar <$from> // '' } qw(out err);
    return ($code, @texts);
}

# kubectl kustomize: exit code, YAML, messages.
sub kustomize {
    my ($folder) = @_;
    return run('', 'build/manifests/kubectl', 'kustomize', $folder);
}

# kubectl create --dry-run=client of a YAML or JSON text: exit code, output, messages.
sub dry_run {
    my ($text, @options) = @_;
    return run($text, 'build/manifests/kubectl', "--server=$nowhere", "--cache-dir=" . work() . '/cache',
        'create', '--dry-run=client', '--validate=false', @options, '-f', '-');
}

# The objects of a root or another folder, as data.
sub render {
    my ($root) = @_;
    my ($code, $yaml, $said) = kustomize($root =~ m{^/} ? $root : "deploy/kubernetes/$root");
    die "$root: $said" if $code != 0;
    ($code, my $text, $said) = dry_run($yaml, '-o', 'json');
    die "$root: $said" if $code != 0;
    my $parser = JSON::PP->new->utf8;
    $parser->incr_parse($text);
    my @objects;
    while (my $object = $parser->incr_parse) {
        push @objects, $object->{kind} eq 'List' ? @{$object->{items}} : $object;
    }
    return \@objects;
}

# For each of the objects a list of what is wrong with it, by the schemas.
sub schema_faults {
    my (@objects) = @_;
    my ($code, $out, $said) = run($json->encode(\@objects), 'node', 'test/manifests/schema.mjs');
    die "schema.mjs: $said" if $code != 0;
    return @{$json->decode($out)};
}

# Objects of a kind; with a name, that one.
sub pick {
    my ($objects, $kind, $name) = @_;
    my @found = grep { $_->{kind} eq $kind && (!defined $name || $_->{metadata}{name} eq $name) } @$objects;
    return defined $name ? $found[0] : @found;
}

# The templates of all pods: kind/name, template.
sub pods {
    my ($objects) = @_;
    return map { ["\L$_->{kind}\E/$_->{metadata}{name}", $_->{spec}{template}] } pick($objects, 'Deployment'), pick($objects, 'Job');
}

sub copy { my ($value) = @_; return dclone($value) }

1;
