package EcholabDocker;

# What the Docker tests share: a private copy of the lab's files, its Compose commands.

use strict;
use warnings;
use Exporter 'import';
use Cwd qw(getcwd);
use File::Temp qw(tempdir);
use JSON::PP;
use Echolab;

our @EXPORT = qw(command composes new_lab lab inspect edit_config container exit_code_of
    logs_of state_of);

our $top = getcwd();
our %labs;

END {
    my $status = $?;
    for my $lab (values %labs) {
        lab($lab, 'down');
    }
    $? = $status;
}

# Runs a shell command: (exit code, stdout and stderr).
sub command {
    my ($line, %env) = @_;
    local %ENV = (%ENV, %env);
    my $out = `timeout 300 sh -c '( $line ) 2>&1'`;
    return ($? >> 8, $out);
}

# The Compose commands that are there: each is tested.
sub composes {
    my @found;
    push @found, 'docker compose' if system('docker compose version >/dev/null 2>&1') == 0;
    push @found, 'docker-compose' if system('docker-compose version >/dev/null 2>&1') == 0;
    my $second = "$top/build/compose-2/docker-compose";
    push @found, $second if -x $second;
    return @found;
}

# A copy of compose/, tools/ and config/ in a folder of its own, as a project of its own.
sub new_lab {
    my ($compose) = @_;
    my $dir = tempdir(CLEANUP => 1);
    chmod 0755, $dir;
    system('cp', '-r', "$top/compose", "$top/tools", "$top/config", $dir) == 0 or die;
    unlink "$dir/compose/lab.yaml";
    my $lab = { dir => $dir, compose => $compose, project => "echolab-test-$$-" . keys %labs };
    return $labs{$dir} = $lab;
}

# lab($lab, 'up') and the like; 'generate N' writes its lab.yaml.
sub lab {
    my ($lab, $verb, %env) = @_;
    my $script = $verb =~ /^generate/ ? '' : 'lab.sh ';
    $verb =~ s/^generate/generate.sh/;
    return command("$lab->{dir}/compose/$script$verb", COMPOSE => $lab->{compose} // '',
        PROJECT => $lab->{project}, %env);
}

# Change keys of one of the lab's own config files.
sub edit_config {
    my ($lab, $file, %values) = @_;
    my $path = "$lab->{dir}/config/$file";
    my $text = slurp($path);
    for my $key (keys %values) {
        $text =~ s/^$key = .*$/$key = $values{$key}/m or die "no key $key in $file";
    }
    open my $out, '>', $path or die;
    print $out $text;
    close $out;
}

sub inspect {
    my ($name) = @_;
    my $json = `docker inspect $name 2>/dev/null`;
    return eval { decode_json($json)->[0] };
}

# The name of a service's container: the two generations of Compose name it differently.
sub container {
    my ($lab, $service) = @_;
    my ($id) = `docker ps -aq --filter label=com.docker.compose.project=$lab->{project} --filter label=com.docker.compose.service=$service` =~ /(\w+)/;
    return $id // '';
}

sub state_of     { my ($id) = @_; return inspect($id)->{State} }
sub logs_of      { my ($id) = @_; return scalar `docker logs $id 2>&1` }

# The exit code of a container, once it ended; undef if it does not in time.
sub exit_code_of {
    my ($id, $seconds) = @_;
    wait_for(sub { state_of($id)->{Status} eq 'exited' }, $seconds // 20) or return undef;
    return state_of($id)->{ExitCode};
}

1;
