#!/usr/bin/perl
# Reads a Dockerfile, or a compose file, and prints it as calls of functions for scripts/docker.sh. What that does not know is an
# error, so that nothing in the files goes unchecked.
#
#   docker.pl Dockerfile     instruction WORD ARGUMENT...     an array in JSON becomes: instruction WORD exec ARGUMENT...
#   docker.pl compose.yaml   service NAME, then: KEY VALUE...
use strict;
use warnings FATAL => 'all';
use CPAN::Meta::YAML;
use JSON::PP;

my ($name) = @ARGV;
open my $file, '<:encoding(UTF-8)', $name or die "$name: $!\n";
my $text = do { local $/; <$file> };
binmode STDOUT, ':encoding(UTF-8)';

sub call
{
	print join(' ', map { "'" . s/'/'\\''/gr . "'" } @_), "\n";
	return;
}

if ($name =~ /Dockerfile/)
{
	# comments go also between the lines of one instruction
	$text =~ s/^\s*#.*\n//gm;
	$text =~ s/\\\n/ /g;
	for my $line (grep { /\S/ } split /\n/, $text)
	{
		my ($word, $rest) = $line =~ /^(\w+)\s+(.*?)\s*$/ or die "$name: $line\n";

		if ($word eq 'HEALTHCHECK')
		{
			$rest =~ s/^(?:--\w+=\S+\s+)*CMD\s+// or die "$name: $line\n";
		}
		my $array = $rest =~ /^\[/ ? decode_json($rest) : undef;

		call('instruction', $word, $array ? ('exec', @$array) : $word =~ /^(?:FROM|COPY|ENV|EXPOSE)$/ ? split(/\s+/, $rest) : $rest);
	}
	exit;
}

# ${NAME:-value} and ${NAME:?why}
$text =~ s/\$\{(\w+)(?::([-?])(.*?))?\}/defined $ENV{$1} && $ENV{$1} ne '' ? $ENV{$1} : ($2 \/\/ '') eq '-' ? $3 : die "$name: $1: " . ($3 \/\/ 'not set') . "\n"/ge;
my $compose = CPAN::Meta::YAML->read_string($text)->[0];
my %top = map { $_ => 1 } qw(name services volumes);
my %known = map { $_ => 1 } qw(build environment ports volumes stop_grace_period command depends_on network_mode);

die "$name: unknown $_\n" foreach grep { !$top{$_} } keys %$compose;
for my $service (sort { !!$compose->{services}{$a}{network_mode} <=> !!$compose->{services}{$b}{network_mode} || $a cmp $b } keys %{ $compose->{services} })
{
	my $is = $compose->{services}{$service};

	die "$name: $service: unknown $_\n" foreach grep { !$known{$_} } keys %$is;
	die "$name: $service: $_ is no service\n" foreach grep { !$compose->{services}{$_} } keys %{ $is->{depends_on} // {} };
	for my $volume (@{ $is->{volumes} // [] })
	{
		my ($from) = split /:/, $volume;

		die "$name: $service: there is no volume $from\n" if $from !~ /^\./ && !exists $compose->{volumes}{$from};
	}
	call('service', $service, $is->{build}{context}, $is->{build}{dockerfile}, $is->{build}{target}, $is->{network_mode} // '');
	call('environment', map { "$_=$is->{environment}{$_}" } sort keys %{ $is->{environment} // {} });
	call('volumes', @{ $is->{volumes} // [] });
	call('ports', @{ $is->{ports} // [] });
	call('command', @{ $is->{command} // [] });
}
