#!/usr/bin/perl
# The manifests fit each other, the configuration files and the programs. Each rule has a control: a change
# that breaks it.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Manifests qw(@roots render pick pods copy dry_run kustomize);
use Test::More;

sub read_file { my ($path) = @_; local $/; open my $file, '<', $path or die "$path: $!"; return scalar <$file> }
sub server { my ($objects) = @_; return pick($objects, 'Deployment', 'server')->{spec} }
sub server_container { my ($objects) = @_; return server($objects)->{template}{spec}{containers}[0] }
sub client_job { my ($objects) = @_; return pick($objects, 'Job', 'client')->{spec} }
sub containers { my ($spec) = @_; return (@{$spec->{initContainers} // []}, @{$spec->{containers}}) }

# A key of a mounted configuration file.
sub configured {
    my ($objects, $file, $key) = @_;
    my ($map) = grep { $_->{data}{"$file.ini"} } pick($objects, 'ConfigMap');
    return $map->{data}{"$file.ini"} =~ /^$key = (.*)$/m ? $1 : '';
}

sub does_match {
    my ($selector, $labels) = @_;
    return !grep { ($labels->{$_} // '') ne $selector->{$_} } keys %$selector;
}

# ---- the network's policies --------------------------------------------------------------

# Those who may want to talk: namespace and labels.
my %who = (
    server => ['echolab', { 'app.kubernetes.io/name' => 'echo-server' }],
    client => ['echolab', { 'app.kubernetes.io/name' => 'echo-client' }],
    other => ['echolab', { app => 'other' }],
    stranger => ['default', { 'app.kubernetes.io/name' => 'echo-client' }],
    prometheus => ['monitoring', { 'app.kubernetes.io/name' => 'prometheus' }],
    impostor => ['default', { 'app.kubernetes.io/name' => 'prometheus' }],
    dns => ['kube-system', { 'k8s-app' => 'kube-dns' }],
);

sub is_peer {
    my ($peer, $whom) = @_;
    my ($namespace, $labels) = @{$who{$whom}};
    my $is_there = $peer->{namespaceSelector} ? does_match($peer->{namespaceSelector}{matchLabels} // {}, { 'kubernetes.io/metadata.name' => $namespace }) : $namespace eq 'echolab';
    return $is_there && does_match($peer->{podSelector}{matchLabels} // {}, $labels);
}

# Does one side's policy let the other one pass? A side without a policy lets all pass.
sub lets {
    my ($objects, $side, $whom, $direction, $ends, $port) = @_;
    my ($namespace, $labels) = @{$who{$whom}};
    return 1 if $namespace ne 'echolab';
    my @policies = grep { does_match($_->{spec}{podSelector}{matchLabels} // {}, $labels) && grep { lc eq $side } @{$_->{spec}{policyTypes}} } pick($objects, 'NetworkPolicy');
    return 1 if !@policies;
    for my $rule (map { @{$_->{spec}{$side} // []} } @policies) {
        my $is_port = !$rule->{ports} || grep { $_->{port} == $port } @{$rule->{ports}};
        return 1 if $is_port && (!$rule->{$ends} || grep { is_peer($_, $direction) } @{$rule->{$ends}});
    }
    return 0;
}

# All that is allowed, of all that could be tried.
sub matrix {
    my ($objects) = @_;
    my @allowed;
    for my $from (sort keys %who) {
        for my $to (sort keys %who) {
            next if $who{$from}[0] ne 'echolab' && $who{$to}[0] ne 'echolab';
            push @allowed, map {"$from -> $to:$_"} grep { lets($objects, 'egress', $from, $to, 'to', $_) && lets($objects, 'ingress', $to, $from, 'from', $_) } 53, 9100, 12345;
        }
    }
    return @allowed;
}
my @wanted = ('client -> dns:53', 'client -> server:12345', 'prometheus -> client:9100', 'prometheus -> server:9100');

# ---- the rules ---------------------------------------------------------------------------

# Name; what is wrong, of the objects; changes that must be seen.
my @rules = (
    ['the grace period is above preStop and drain_timeout', sub {
            my ($o) = @_;
            my ($drain) = configured($o, 'server', 'drain_timeout') =~ /^(\d+)s$/ or return 'drain_timeout';
            my $sleep = server_container($o)->{lifecycle}{preStop}{sleep}{seconds} // 0;
            return server($o)->{template}{spec}{terminationGracePeriodSeconds} >= $sleep + $drain + 2 ? () : "$sleep s and $drain s";
        }, sub { server($_[0])->{template}{spec}{terminationGracePeriodSeconds} = 5 },
        sub { $_->{data}{'server.ini'} && $_->{data}{'server.ini'} =~ s/^drain_timeout = .*/drain_timeout = 60s/m for pick($_[0], 'ConfigMap') }],
    ['an update never has fewer servers than wanted', sub {
            my ($o) = @_;
            my ($all, $how) = (server($o), server($o)->{strategy}{rollingUpdate} // {});
            return $all->{replicas} >= 2 && "$how->{maxUnavailable} $how->{maxSurge}" eq '0 1' ? () : 'strategy';
        }, sub { server($_[0])->{strategy}{rollingUpdate}{maxUnavailable} = 1 }, sub { server($_[0])->{replicas} = 1 }],
    ['the probes ask the admin address', sub {
            my ($o) = @_;
            my $c = server_container($o);
            my %port = map { $_->{name} => $_->{containerPort} } @{$c->{ports}};
            my ($admin) = configured($o, 'server', 'admin_address') =~ /:(\d+)$/;
            my %path = (startupProbe => '/livez', livenessProbe => '/livez', readinessProbe => '/readyz');
            return grep { my $get = $c->{$_}{httpGet}; $get->{path} ne $path{$_} || ($port{$get->{port}} // 0) != $admin } sort keys %path;
        }, sub { server_container($_[0])->{readinessProbe}{httpGet}{path} = '/livez' }, sub { server_container($_[0])->{ports}[1]{containerPort} = 9101 }],
    ['no token and no service links', sub {
            my ($o) = @_;
            return map { $_->[0] } grep { my $s = $_->[1]{spec}; ($s->{automountServiceAccountToken} // 1) || ($s->{enableServiceLinks} // 1) } pods($o);
        }, sub { delete server($_[0])->{template}{spec}{enableServiceLinks} }, sub { delete client_job($_[0])->{template}{spec}{automountServiceAccountToken} }],
    ['every container has a read-only root and limits', sub {
            my ($o) = @_;
            return map { $_->{name} } grep { !$_->{securityContext}{readOnlyRootFilesystem} || 4 != grep {defined} map { @$_{qw(cpu memory)} } @{$_->{resources}}{qw(requests limits)} } map { containers($_->[1]{spec}) } pods($o);
        }, sub { delete server_container($_[0])->{securityContext}{readOnlyRootFilesystem} }, sub { delete client_job($_[0])->{template}{spec}{initContainers}[0]{resources}{limits}{memory} }],
    ['each configuration file is the one in config/, mounted by its full name', sub {
            my ($o) = @_;
            my %map = map { $_->{metadata}{name} => $_->{data} } pick($o, 'ConfigMap');
            my @wrong;
            for my $pod (pods($o)) {
                my ($name, $spec) = ($pod->[0], $pod->[1]{spec});
                my $of = $name =~ /server/ ? 'server' : 'client';
                my ($mount) = @{$spec->{containers}[0]{volumeMounts}};
                my $data = $map{$spec->{volumes}[0]{configMap}{name}} // {};
                push @wrong, $name if join(' ', map { $_ // '' } @$mount{qw(name mountPath subPath)}) ne "$spec->{volumes}[0]{name} /etc/echolab/$of.ini $of.ini"
                    || ($data->{"$of.ini"} // '') ne read_file("config/$of.ini") || $spec->{volumes}[0]{configMap}{name} !~ /^\Q$of\E-config-[0-9a-z]{10}$/;
            }
            return @wrong;
        }, sub { delete server_container($_[0])->{volumeMounts}[0]{subPath} }, sub { server($_[0])->{template}{spec}{volumes}[0]{configMap}{name} = 'server-config' },
        sub { $_->{data}{'client.ini'} && $_->{data}{'client.ini'} =~ s/10s/11s/ for pick($_[0], 'ConfigMap') }],
    ['selectors select the servers, and ports are theirs', sub {
            my ($o) = @_;
            my $labels = server($o)->{template}{metadata}{labels};
            my %selector = ((map { ("service $_->{metadata}{name}" => $_->{spec}{selector}) } pick($o, 'Service')), deployment => server($o)->{selector}{matchLabels},
                budget => pick($o, 'PodDisruptionBudget', 'server')->{spec}{selector}{matchLabels}, (map { ("spread $_->{topologyKey}" => $_->{labelSelector}{matchLabels}) } @{server($o)->{template}{spec}{topologySpreadConstraints}}));
            my %port = map { $_->{name} => $_->{containerPort} } @{server_container($o)->{ports}};
            my ($name, $number) = configured($o, 'client', 'server_address') =~ /^(.*):(\d+)$/;
            return ((grep { !%{$selector{$_}} || !does_match($selector{$_}, $labels) } sort keys %selector),
                (grep { $port{$_->{spec}{ports}[0]{targetPort}} != $number || $_->{spec}{ports}[0]{port} != $number } pick($o, 'Service')),
                $port{echo} == configured($o, 'server', 'port') ? () : 'port', pick($o, 'Service', $name) ? () : "no service $name",
                (grep { does_match($_, $who{client}[1]) } values %selector));
        }, sub { pick($_[0], 'PodDisruptionBudget', 'server')->{spec}{selector}{matchLabels} = { app => 'x' } }, sub { pick($_[0], 'Service', 'servers')->{spec}{ports}[0]{targetPort} = 'admin' },
        sub { server_container($_[0])->{ports}[0]{containerPort} = 7 }],
    ['only the clients reach the server, it reaches nobody, Prometheus the admin addresses', sub {
            my ($o) = @_;
            my ($is, $should) = (join(', ', matrix($o)), join(', ', @wanted));
            return $is eq $should ? () : $is;
        }, sub { @{$_[0]} = grep { $_->{kind} ne 'NetworkPolicy' || $_->{metadata}{name} ne 'nobody' } @{$_[0]} },
        sub { delete pick($_[0], 'NetworkPolicy', 'server')->{spec}{ingress}[0]{from} }, sub { pick($_[0], 'NetworkPolicy', 'server')->{spec}{egress} = [{}] },
        sub { delete pick($_[0], 'NetworkPolicy', 'client')->{spec}{egress}[1]{ports} }, sub { delete pick($_[0], 'NetworkPolicy', 'server')->{spec}{ingress}[1]{from}[0]{namespaceSelector} }],
    ['the policies are about the pods that there are', sub {
            my ($o) = @_;
            return map { $_->[0] } grep { my ($name, $pod) = @$_; !does_match($who{$name =~ /server/ ? 'server' : 'client'}[1], $pod->{metadata}{labels}) } pods($o);
        }, sub { client_job($_[0])->{template}{metadata}{labels}{'app.kubernetes.io/name'} = 'x' }],
    ['a client has its index as id', sub {
            my ($o) = @_;
            my $spec = client_job($o);
            my ($id) = grep { $_->{name} eq 'CLI_ID' } @{$spec->{template}{spec}{containers}[0]{env}};
            return $id && $spec->{completionMode} eq 'Indexed' && $spec->{completions} == $spec->{parallelism}
                && $id->{valueFrom}{fieldRef}{fieldPath} eq q{metadata.annotations['batch.kubernetes.io/job-completion-index']} ? () : 'id';
        }, sub { client_job($_[0])->{completionMode} = 'NonIndexed' }, sub { client_job($_[0])->{template}{spec}{containers}[0]{env} = [] }],
    ['no pod of a Job starts again by itself, and a verdict is not tried again', sub {
            my ($o) = @_;
            return map { $_->{metadata}{name} } grep { $_->{spec}{template}{spec}{restartPolicy} ne 'Never' || ($_->{metadata}{name} ne 'client' && $_->{spec}{backoffLimit} != 0) } pick($o, 'Job');
        }, sub { client_job($_[0])->{template}{spec}{restartPolicy} = 'OnFailure' }],
    ['the images are those that are built here', sub {
            my ($o) = @_;
            return map { my ($name, $pod) = @$_; my $image = 'echolab-' . ($name =~ /server/ ? 'server' : 'client') . ':latest'; grep { $_ ne $image } map { $_->{image} } containers($pod->{spec}) } pods($o);
        }, sub { server_container($_[0])->{image} = 'echolab-client:latest' }],
);
# What only newer clusters have: not in overlays/1.25.
my @newer = (
    ['a server goes on accepting for a while', sub { (server_container($_[0])->{lifecycle}{preStop}{sleep}{seconds} // 0) >= 3 ? () : 'preStop' }, sub { delete server_container($_[0])->{lifecycle} }],
    ['what no further try can heal fails at once, a disrupted pod is made again', sub {
            my ($o) = @_;
            my $rules = client_job($o)->{podFailurePolicy}{rules} // [];
            my @said = map { join ' ', $_->{action}, $_->{onExitCodes} ? ($_->{onExitCodes}{operator}, @{$_->{onExitCodes}{values}}) : map {"$_->{type}=$_->{status}"} @{$_->{onPodConditions}} } @$rules;
            return join(', ', @said) eq 'FailJob In 2 6 8, Ignore DisruptionTarget=True' ? () : "@said";
        }, sub { delete client_job($_[0])->{podFailurePolicy} }, sub { client_job($_[0])->{podFailurePolicy}{rules}[0]{onExitCodes}{values} = [4] }],
);

for my $root (@roots) {
    my $objects = render($root);
    for my $rule (@rules, $root =~ /1\.25/ ? () : @newer) {
        my ($name, $wrong, @changes) = @$rule;
        is_deeply([$wrong->(copy($objects))], [], "$root: $name");
        next if $root ne 'base';
        for my $i (0 .. $#changes) {
            my $bad = copy($objects);
            $changes[$i]->($bad);
            ok(scalar(my @said = $wrong->($bad)), "... control " . ($i + 1) . ' is seen');
        }
    }
    next if $root !~ /1\.25/;
    my $text = join ' ', map { JSON::PP->new->encode($_) } @$objects;
    is(join(' ', $text =~ /(preStop|podFailurePolicy|matchLabelKeys|unhealthyPodEvictionPolicy)/g), '', "$root: no field that is newer");
}

# ---- what kubectl says -------------------------------------------------------------------

sub job_args { my ($objects, $name) = @_; return join ' ', @{pick($objects, 'Job', $name)->{spec}{template}{spec}{containers}[0]{args}} }
like(job_args(render('overlays/drill'), 'drill'), qr/--load server:12345 .*--duration 3m --max-lost 0 --max-outage/, 'the drill watches the address that stays, with limits');
like(job_args(render('overlays/load'), 'load'), qr/--load servers:12345 /, 'the load is on each server');

my $copy = tempdir(CLEANUP => 1);
system('cp', '-r', 'config', 'deploy', $copy) == 0 or die;
sub rendered { return render("$copy/deploy/kubernetes/base") }
sub name_of_config { my ($objects) = @_; return server($objects)->{template}{spec}{volumes}[0]{configMap}{name} }
my $before = name_of_config(rendered());
is($before, name_of_config(render('base')), 'the same file has the same name');
open my $ini, '>>', "$copy/config/server.ini" or die $!;
print $ini "; changed\n";
close $ini;
my $after = rendered();
isnt(name_of_config($after), $before, 'a changed file rolls out: the pods mount a ConfigMap of another name');
ok(pick($after, 'ConfigMap', name_of_config($after)), '... which is there');

my ($code, $yaml, $said) = kustomize('deploy/kubernetes/base');
($code, my $out) = dry_run($yaml);
is($code, 0, 'kubectl create --dry-run=client takes them');
is(scalar(() = $out =~ / created \(dry run\)$/mg), 11, '... all of them');
($code, undef, $said) = dry_run($yaml =~ s/^kind: Job$/kind: Jbo/mr);
isnt($code, 0, 'kubectl refuses a kind that is none');
like($said, qr/unable to recognize/, '... since no cluster knows it');
for ([client => 'a resource that is not there', sub { s/client\.yaml/clients.yaml/ }], [field => 'a field of Kustomize that is none', sub { s/^resources:/resorces:/m }]) {
    my (undef, $name, $change) = @$_;
    local $_ = read_file('deploy/kubernetes/base/kustomization.yaml');
    $change->();
    open my $file, '>', "$copy/deploy/kubernetes/base/kustomization.yaml" or die $!;
    print $file $_;
    close $file;
    isnt((kustomize("$copy/deploy/kubernetes/base"))[0], 0, "kubectl kustomize refuses $name");
}
done_testing;
