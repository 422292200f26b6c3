#!/usr/bin/perl
# Every field of the manifests is one that Kubernetes has, of the right type; and the check sees it for
# each field when it is not: misspelt, of another type, missing, or with a value that is none.
use strict;
use warnings;
use Manifests qw(@roots render schema_faults pick copy);
use Test::More;

sub join_lines { return join '', map {"$_\n"} @_ }

# The fields of an object as paths (lists of names and indexes), but not those that have free names.
my %is_free = map { $_ => 1 } qw(labels annotations matchLabels data limits requests);
sub paths {
    my ($value, @path) = @_;
    return map { paths($value->[$_], @path, $_) } 0 .. $#$value if ref $value eq 'ARRAY';
    return () if ref $value ne 'HASH' || (@path && ($is_free{$path[-1]} || "@path" eq 'spec selector' && !$value->{matchLabels}));
    return map { my @to = (@path, $_); (\@to, paths($value->{$_}, @to)) } sort keys %$value;
}

# A copy of the object in which `change` was done with the last field of the path.
sub changed {
    my ($object, $path, $change) = @_;
    my $new = copy($object);
    my $at = $new;
    $at = ref $at eq 'ARRAY' ? $at->[$_] : $at->{$_} for @$path[0 .. $#$path - 1];
    $change->($at, $path->[-1]);
    return $new;
}

my %objects;
for my $root (@roots) {
    my $objects = render($root);
    my @said = map {@$_} schema_faults(@$objects);
    is(join_lines(@said), '', "$root: no fault");
    $objects{"$_->{kind} $_->{metadata}{name}"} //= $_ for @$objects;
}

# Each field in turn, of each object there is.
my (@bad, @expected);
for my $name (sort keys %objects) {
    for my $path (paths($objects{$name})) {
        next if $path->[0] =~ /^(?:apiVersion|kind)$/;
        my $place = '/' . join '/', @$path;
        push @bad, changed($objects{$name}, $path, sub { my ($at, $field) = @_; $at->{"${field}x"} = delete $at->{$field} });
        push @expected, [$name, qr/^\Q${place}x\E: unknown field$/m];
        push @bad, changed($objects{$name}, $path, sub { my ($at, $field) = @_; $at->{$field} = ref $at->{$field} ? 1 : { a => 1 } });
        push @expected, [$name, qr/^\Q$place\E: type /m];
    }
}
my @said = schema_faults(@bad);
my (%controls, @missed);
for my $i (0 .. $#bad) {
    my ($name, $pattern) = @{$expected[$i]};
    my ($kind) = split / /, $name;
    $controls{$kind}++;
    push @missed, "$name $pattern" if join_lines(@{$said[$i]}) !~ $pattern;
}
is(join_lines(@missed), '', scalar(@bad) . ' fields misspelt or of another type: each is named');
is(join(' ', sort keys %controls), 'ConfigMap Deployment Job Namespace NetworkPolicy PodDisruptionBudget Service', 'these are of every kind');

# What else a schema says.
my ($deployment, $job, $service, $policy) = @objects{'Deployment server', 'Job client', 'Service server', 'NetworkPolicy server'};
my @controls = (
    ['a Deployment without a selector', $deployment, ['spec', 'selector'], undef, qr/^\/spec: required .*"selector"/m],
    ['a Job without a template', $job, ['spec', 'template'], undef, qr/^\/spec: required .*"template"/m],
    ['a container without a name', $deployment, ['spec', 'template', 'spec', 'containers', 0, 'name'], undef, qr/containers\/0: required/],
    ['a port without a number', $service, ['spec', 'ports', 0, 'port'], undef, qr/ports\/0: required/],
    ['a pull policy that is none', $deployment, ['spec', 'template', 'spec', 'containers', 0, 'imagePullPolicy'], 'Sometimes', qr/imagePullPolicy: enum/],
    ['an action that is none', $job, ['spec', 'podFailurePolicy', 'rules', 0, 'action'], 'Retry', qr/action: enum/],
    ['a policy type that is none', $policy, ['spec', 'policyTypes', 0], 'Out', qr/policyTypes\/0: enum/],
    ['another version of the API', $job, ['apiVersion'], 'batch/v7', qr/^batch\/v7 Job: no such kind/],
);
@said = schema_faults(map {
    my ($name, $object, $path, $value) = @$_;
    changed($object, $path, sub { my ($at, $field) = @_; defined $value ? (ref $at eq 'ARRAY' ? ($at->[$field] = $value) : ($at->{$field} = $value)) : delete $at->{$field} });
} @controls);
like(join_lines(@{$said[$_]}), $controls[$_][4], $controls[$_][0]) for 0 .. $#controls;
done_testing;
