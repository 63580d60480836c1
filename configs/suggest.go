package configs

import "strings"

// meant is the remedy for a word that is none of those known: the one that was
// meant, if it is only a slip away, else all of them after the phrase.
func meant(word string, known []string, phrase string) string {
	best, least := "", 3
	for _, k := range known {
		// A short word is soon like any other.
		if d := editDistance(word, k); d < least && d <= (len(k)+1)/3 {
			best, least = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return phrase + " " + strings.Join(known, ", ")
}

// editDistance counts the bytes to insert, delete or replace to turn a into b
// (Levenshtein). Words whose lengths differ too much to be mistaken for one
// another are not compared.
func editDistance(a, b string) int {
	if d := len(a) - len(b); d > 2 || d < -2 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
