#!/usr/bin/perl
# Writes src/core/text/unicode_table.h from the Unicode data that Perl has, to standard output. t/112_unicode_table.pl compares.
use strict;
use warnings;
use Unicode::UCD;

# What was assigned later is left out, so that every Perl from 5.36 on writes the same.
my $version = '14.0';
my @kinds = (
	[ 'BLANK', qr/\p{White_Space}/ ],
	[ 'MARK', qr/\p{Default_Ignorable_Code_Point}/ ],
	[ 'DASH', qr/\p{Dash}/ ],
	[ 'DIGIT', qr/\p{Nd}/ ]);

my $has = join '.', map { sprintf '%03d', $_ } split /\./, Unicode::UCD::UnicodeVersion();
die "this Perl knows Unicode " . Unicode::UCD::UnicodeVersion() . " only; $version is needed\n" if $has lt '014.000';

my @ranges;
for my $code (0 .. 0x10FFFF)
{
	next if $code >= 0xD800 && $code <= 0xDFFF;
	my $char = chr $code;
	next if $char !~ /\p{Present_In: 14.0}/;
	my ($kind) = map { $_->[0] } grep { $char =~ $_->[1] } @kinds;
	next if !defined $kind;
	if (@ranges && $ranges[-1][2] eq $kind && $ranges[-1][1] == $code - 1)
	{
		$ranges[-1][1] = $code;
	}
	else
	{
		push @ranges, [ $code, $code, $kind ];
	}
}

print <<"END";
/*
 * unicode_table.h
 *	  What counts in text that people paste: blanks (White_Space), marks that
 *	  nobody sees (Default_Ignorable_Code_Point), dashes (Dash) and digits (Nd)
 *	  of Unicode $version.
 *
 * Written by scripts/unicode_table.pl; not to be edited.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/unicode_table.h
 */
#ifndef MF_UNICODE_TABLE_H
#define MF_UNICODE_TABLE_H

#include <stdint.h>

typedef enum MfCharKind
{
	MF_CHAR_OTHER,
	MF_CHAR_BLANK,
	MF_CHAR_MARK,				/* invisible by itself: direction marks,
								 * joiners, variation selectors */
	MF_CHAR_DASH,
	MF_CHAR_DIGIT
} MfCharKind;

static const struct
{
	uint32_t	first;
	uint32_t	last;
	MfCharKind	kind;
}			unicode_ranges[] = {
END
printf "\t{0x%04X, 0x%04X, MF_CHAR_%s},\n", @$_ for @ranges;
print <<'END';
};

#endif							/* MF_UNICODE_TABLE_H */
END
