# The Restricted profile of Kubernetes' Pod Security Standards, as a table: what the API server checks of a
# pod in a namespace with pod-security.kubernetes.io/enforce: restricted, as of version 1.36.
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
package PodSecurity;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(@rules violations);

sub containers {
    my ($spec) = @_;
    return map { @{$spec->{$_} // []} } qw(initContainers containers ephemeralContainers);
}

# [where, its securityContext] of the pod and of its containers.
sub contexts {
    my ($spec) = @_;
    return (['pod', $spec->{securityContext} // {}], container_contexts($spec));
}

sub container_contexts {
    my ($spec) = @_;
    return map { [$_->{name}, $_->{securityContext} // {}] } containers($spec);
}

# The places where a test of their context is true.
sub where {
    my ($test, @contexts) = @_;
    return map { $_->[0] } grep { local $_ = $_->[1]; $test->() } @contexts;
}

# The containers whose value, or else the pod's, does not pass the test.
sub inherited {
    my ($spec, $test) = @_;
    my $pod = $spec->{securityContext} // {};
    return grep { defined } map {
        my ($name, $own) = @$_;
        my $is_good = $test->($own) // $test->($pod) // 0;
        $is_good ? undef : $name;
    } container_contexts($spec);
}

my %safe_sysctl = map { $_ => 1 } qw(kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start
    net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time
    net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes);
my %selinux_type = map { $_ => 1 } qw(container_t container_init_t container_kvm_t container_engine_t);
my %volume_type = map { $_ => 1 } qw(configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret);

sub is_bad_selinux { my ($o) = @_; return $o && ($o->{user} || $o->{role} || ($o->{type} && !$selinux_type{$o->{type}})) }

# Probes and hooks of a container that name a host.
sub has_host {
    my ($container) = @_;
    my @handlers = ((map { $container->{$_} } qw(livenessProbe readinessProbe startupProbe)), values %{$container->{lifecycle} // {}});
    return grep { $_ && ($_->{httpGet}{host} || $_->{tcpSocket}{host}) } @handlers;
}

sub is_seccomp_good {
    my ($context) = @_;
    my $type = $context->{seccompProfile}{type} // return;
    return $type =~ /^(?:RuntimeDefault|Localhost)$/ ? 1 : 0;
}

# Name of the rule; who breaks it, in a pod's template; and a change of a good pod's spec (or template) that
# breaks this rule and no other one.
our @rules = (
    ['host processes', sub { where(sub { $_->{windowsOptions}{hostProcess} }, contexts($_[0]{spec})) },
        sub { $_[0]{spec}{containers}[0]{securityContext}{windowsOptions} = { hostProcess => 1 } }],
    ['host namespaces', sub { grep { $_[0]{spec}{$_} } qw(hostNetwork hostPID hostIPC) }, sub { $_[0]{spec}{hostPID} = 1 }],
    ['privileged containers', sub { where(sub { $_->{privileged} }, container_contexts($_[0]{spec})) },
        sub { $_[0]{spec}{containers}[0]{securityContext}{privileged} = 1 }],
    ['hostPath volumes', sub { map { $_->{name} } grep { $_->{hostPath} } @{$_[0]{spec}{volumes}} },
        sub { push @{$_[0]{spec}{volumes}}, { name => 'x', hostPath => { path => '/' }, emptyDir => {} } }],
    ['host ports', sub { map { $_->{name} } grep { grep { $_->{hostPort} } @{$_->{ports} // []} } containers($_[0]{spec}) },
        sub { push @{$_[0]{spec}{containers}[0]{ports}}, { containerPort => 1, hostPort => 80 } }],
    ['hosts of probes and hooks', sub { map { $_->{name} } grep { has_host($_) } containers($_[0]{spec}) },
        sub { $_[0]{spec}{containers}[0]{livenessProbe}{httpGet}{host} = '169.254.169.254' }],
    ['AppArmor', sub {
            my ($pod) = @_;
            my $notes = $pod->{metadata}{annotations} // {};
            return ((where(sub { ($_->{appArmorProfile}{type} // '') eq 'Unconfined' }, contexts($pod->{spec}))),
                grep { m{^container\.apparmor\.security\.beta\.kubernetes\.io/} && $notes->{$_} !~ m{^(?:runtime/default|localhost/.*|)$} } sort keys %$notes);
        }, sub { $_[0]{spec}{securityContext}{appArmorProfile} = { type => 'Unconfined' } },
        sub { $_[0]{metadata}{annotations}{'container.apparmor.security.beta.kubernetes.io/x'} = 'unconfined' }],
    ['SELinux', sub { where(sub { is_bad_selinux($_->{seLinuxOptions}) }, contexts($_[0]{spec})) },
        sub { $_[0]{spec}{securityContext}{seLinuxOptions} = { type => 'spc_t' } }, sub { $_[0]{spec}{containers}[0]{securityContext}{seLinuxOptions} = { user => 'root' } },
        sub { $_[0]{spec}{securityContext}{seLinuxOptions} = { role => 'sysadm_r' } }],
    ['/proc mount type', sub { where(sub { ($_->{procMount} // 'Default') ne 'Default' }, container_contexts($_[0]{spec})) },
        sub { $_[0]{spec}{containers}[0]{securityContext}{procMount} = 'Unmasked' }],
    ['sysctls', sub { grep { !$safe_sysctl{$_} } map { $_->{name} } @{$_[0]{spec}{securityContext}{sysctls} // []} },
        sub { $_[0]{spec}{securityContext}{sysctls} = [{ name => 'net.core.somaxconn', value => '1' }] }],
    ['volume types', sub { map { $_->{name} } grep { my $v = $_; !grep { $volume_type{$_} } keys %$v } @{$_[0]{spec}{volumes} // []} },
        sub { push @{$_[0]{spec}{volumes}}, { name => 'x', nfs => { path => '/', server => 'x' } } }],
    ['privilege escalation', sub { where(sub { $_->{allowPrivilegeEscalation} // 1 }, container_contexts($_[0]{spec})) },
        sub { delete $_[0]{spec}{containers}[0]{securityContext}{allowPrivilegeEscalation} }, sub { $_[0]{spec}{containers}[0]{securityContext}{allowPrivilegeEscalation} = 1 }],
    ['running as non-root', sub { inherited($_[0]{spec}, sub { $_[0]{runAsNonRoot} }) },
        sub { delete $_[0]{spec}{securityContext}{runAsNonRoot} }, sub { $_[0]{spec}{containers}[0]{securityContext}{runAsNonRoot} = 0 }],
    ['user 0', sub { where(sub { defined $_->{runAsUser} && $_->{runAsUser} == 0 }, contexts($_[0]{spec})) },
        sub { $_[0]{spec}{securityContext}{runAsUser} = 0 }, sub { $_[0]{spec}{containers}[0]{securityContext}{runAsUser} = 0 }],
    ['seccomp', sub { inherited($_[0]{spec}, \&is_seccomp_good) }, sub { delete $_[0]{spec}{securityContext}{seccompProfile} },
        sub { $_[0]{spec}{containers}[0]{securityContext}{seccompProfile} = { type => 'Unconfined' } }],
    ['capabilities: ALL dropped', sub { where(sub { !grep { $_ eq 'ALL' } @{$_->{capabilities}{drop} // []} }, container_contexts($_[0]{spec})) },
        sub { $_[0]{spec}{containers}[0]{securityContext}{capabilities}{drop} = ['NET_RAW'] }, sub { delete $_[0]{spec}{containers}[0]{securityContext}{capabilities} }],
    ['capabilities: none added', sub { where(sub { grep { $_ ne 'NET_BIND_SERVICE' } @{$_->{capabilities}{add} // []} }, container_contexts($_[0]{spec})) },
        sub { $_[0]{spec}{containers}[0]{securityContext}{capabilities}{add} = ['NET_ADMIN'] }],
);

# The rules that a pod's template breaks: "rule: who".
sub violations {
    my ($template) = @_;
    return map { my ($name, $who) = @$_; map {"$name: $_"} $who->($template) } @rules;
}

1;
