package books

// Classes are the classes of findings, for the test that holds them against those of package watch.
var Classes = [...]string{tamperedHistory, fork, lostUpdate, unbalanced, limitExceeded, movedFrozen, duplicateID, clockJump, sourceGap}
