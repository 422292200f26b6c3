#!/usr/bin/perl
# Every pod of the manifests keeps every rule of the Restricted profile, and the check of each rule sees a pod
# that breaks it, and it alone: its first container, its last one, an init container.
use strict;
use warnings;
use Manifests qw(@roots render pick pods copy);
use PodSecurity qw(@rules violations);
use Test::More;

my %pods;
for my $root (@roots) {
    my $objects = render($root);
    is(pick($objects, 'Namespace', 'echolab')->{metadata}{labels}{'pod-security.kubernetes.io/enforce'}, 'restricted', "$root: the namespace enforces it");
    for (pods($objects)) {
        my ($name, $template) = @$_;
        is_deeply([violations($template)], [], "$root: $name keeps all rules");
        $pods{$name} = $template;
    }
}
is(join(' ', sort keys %pods), 'deployment/server job/client job/drill job/load', 'these were all pods');

for my $rule (@rules) {
    my ($name, undef, @changes) = @$rule;
    for my $i (0 .. $#changes) {
        for my $pod (sort keys %pods) {
            my $bad = copy($pods{$pod});
            $changes[$i]->($bad);
            my @said = violations($bad);
            ok(@said && !(grep { !/^\Q$name\E: / } @said), "$name, control " . ($i + 1) . ": seen in $pod, and nothing else") or diag "@said";
        }
    }
}

# An init container counts like another one.
my $bad = copy($pods{'job/client'});
$bad->{spec}{initContainers}[0]{securityContext}{privileged} = 1;
is_deeply([violations($bad)], ['privileged containers: wait'], 'an init container is looked at');
done_testing;
