package infra

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// promise is one thing that the reports and alerts promise to who reads them, with the tests that show it.
type promise struct {
	id, what string
	tests    []string // folder and name
}

// promises is the list of them, in the order of the buyer's document.
var promises = []promise{
	{"T1", "each report is switched on or off for the whole company; off is for heads of department too, and who switched it is kept", []string{
		"shared/receivers.TestAReportThatIsOffGoesToNobodyHeadsIncluded", "functions/report.TestAReportThatIsSwitchedOffIsMadeForNobodyUntilItIsOnAgain",
		"infra/vaultctl.TestReportsAreSwitchedAndAddressesSetFromTheShell", "functions/api.TestSettingsAreDecidedFieldByField",
		"functions/api.TestWhoSwitchedAReportStaysToldWhateverIsDecidedOfItSince", "infra/vaultctl.TestWhoSwitchedAReportStaysToldWhateverIsDecidedOfItSince"}},
	{"T2", "every member with status, stage, number and address; each number of the summary counts rows; lost is said of readable fields alone", []string{
		"shared/report.TestEachNumberOfTheSummaryIsACountOfRows", "shared/report.TestLostMobileIsSaidOnlyOfAReadableField", "shared/report.TestEachListHasTheColumnsThatPeopleActOn",
		"functions/report.TestUserStatusTellsWhatTheLedgerHolds", "functions/directory.TestWhomASecretDoesNotShowHasLostNothing"}},
	{"T3", "each user has one stage of onboarding, and the days in it", []string{"shared/report.TestStageFollowsTheLadder"}},
	{"T4", "who lost the number is captured by userid still: delivered, kept, or not designated, exactly one", []string{"shared/report.TestMissingMobileSaysExactlyOneOfThree"}},
	{"T5", "the user is told each noon until the number is back, by mail, or in WeCom where no mail reaches him and an app is set, and else is listed as one who could not be told", []string{
		"shared/report.TestAMessageInWeComHoldsTheStepsAndFitsWhateverTheNames", "shared/report.TestTheMessageInWeComOfTheNextDayHasOtherBytes",
		"shared/report.TestWhetherTheLastMessageArrivedIsSaidOfTheNext",
		"functions/report.TestWhomNoMailReachesIsToldInWeComWhereTheCompanyHasAnApp", "functions/report.TestTheNextDaysListSaysWhetherTheLastMessageArrived",
		"functions/tell.TestAUserIsToldOnceHoweverOftenTheJobComes", "functions/tell.TestALostAnswerIsSettledByARepetitionThatWeComShowsOnce",
		"functions/tell.TestWhomTheAppMayNotWriteToIsRefusedWithTheReason", "functions/tell.TestAJobThatComesDaysLateShowsNothingAndLeavesTheMessageToBeGivenUp",
		"functions/report.TestAMessageInWeComThatIsNotSentForDaysIsGivenUpAloudAndItsJobNeverSentAgain",
		"shared/report.TestLostMobileComesEachDayUntilItIsBack", "shared/report.TestNoticesGoToThoseWhoCanBeTold", "shared/report.TestWhoCanBeTold",
		"functions/report.TestUsersConcernedAreToldBesideTheReceiversAndADayWithoutNewsIsSilent"}},
	{"T6", "receivers see who lost a number, since when, the last one masked, and whether the user was told", []string{
		"shared/report.TestTheListOfLostNumbersSaysWhoWasTold", "shared/report.TestEachListHasTheColumnsThatPeopleActOn", "shared/report.TestMaskedReportsHoldNoWholeNumber"}},
	{"T7", "a day is from noon to noon UTC; each event is in exactly one, and its time is between two looks", []string{
		"shared/report.TestEveryEventFallsIntoOneWindow", "shared/report.TestChangesFallIntoTheWindowByWhenTheyWereSeen", "functions/report.TestAnEventThatIsKnownOnlyAfterItsReportIsToldOnceByTheNextAndCalledLate"}},
	{"T8", "one record a user, which the same reading of the directory updates; what still holds the old number is named and goes on matching", []string{
		"shared/identity.TestARecordHasANewNumberWhenTheSyncThatFoundItHasEnded", "shared/identity.TestTheRowThatHoldsAnOldNumberIsFound", "shared/identity.TestAnOldNumberGoesOnMatching",
		"functions/report.TestAChangedNumberIsInTheAccountAndARowThatHoldsTheOldOneIsNamed", "functions/api.TestARecordHasEachFieldWithSourceAndAge"}},
	{"T9", "an address of the company's own watches: changed numbers, leavers, joiners, the account, coverage", []string{"shared/receivers.TestOperationsGetsTheFiveReportsThatSomebodyHasToActOn"}},
	{"T10", "leavers with the departments last held, last number and address, how they went, how long is kept and what is open", []string{
		"shared/report.TestKindsOfLeavingAreSaidHonestly", "shared/report.TestEachListHasTheColumnsThatPeopleActOn", "functions/report.TestOfLeaversItIsSaidHowLongWhatIsArchivedIsKeptAndWhatNobodyKeeps",
		"functions/report.TestTheDaysReportsTellWhatHappenedToWhomWithinTheScope", "functions/directory.TestWhoVanishesFromTheListIsLookedAtAloneAndSoTheWayIsKnown"}},
	{"T11", "who joined, with what is left to people; the record is there from the first reading on", []string{
		"shared/report.TestNewUsersAreListedWithWhatIsLeftToPeople", "shared/report.TestWhoJoinedEarlierIsListedForWhatIsLeftAndNotAsNew", "shared/report.TestEachListHasTheColumnsThatPeopleActOn", "functions/report.TestWhoJoinedEarlierAndIsNotReadyYetIsListedWithTheDaysSince", "functions/directory.TestARecordIsThereFromTheFirstReadingOn"}},
	{"T12", "external members who refused or have not answered; agreed by default and unreadable stand apart", []string{
		"shared/report.TestGroupsAreListedApartByWhatIsKnown", "shared/consent.TestConsentIsNotPresumed", "functions/consent.TestAGroupIsABreachFromTheRefusalToTheConsent"}},
	{"T13", "user, contact and group by name; a group that can't be looked up by what its messages tell, with the reason, and by the name that an admin entered", []string{
		"functions/api.TestAnAdminNamesAGroupOfWhichWeComTellsNoName", "infra/vaultctl.TestAGroupIsNamedFromTheShell", "functions/report.TestAGroupThatWeComDoesNotNameIsCalledWhatAnAdminEntered",
		"shared/report.TestTheGroupsMailNamesUserContactGroupAndSinceWhen", "functions/consent.TestOfAGroupThatWeComDoesNotShowTheMessagesTell", "functions/report.TestTheNoonListHasWhatIsOpenAndWhatCanNotBeLookedUp"}},
	{"T14", "told within the hour, listed while it lasts, closed once; messages that were not archived are not known, and no number", []string{
		"functions/callback.TestWhoComesIntoAGroupOrBecomesAContactIsLookedAt", "functions/directory.TestARoomOfWhichWeComToldIsReadAsTheWholeReadingReadsIt",
		"functions/consent.TestANewcomerWhoWasNotAskedYetIsAlertedOfAtOnceAndOnce", "functions/report.TestAnEndThatDidNotArriveIsToldAgain",
		"infra.TestRefusalsAreLookedForMoreThanOnceAnHour", "functions/report.TestABreachIsToldOnceToThoseWhoseDepartmentItIsAndOnceMoreWhenItIsOver", "shared/report.TestTheGroupsMailNamesUserContactGroupAndSinceWhen"}},
	{"T15", "each report's mail and attached page link its page of the guide, which is shown without a token, in English and Chinese", []string{
		"shared/report.TestEveryGuideThatAMailLinksIsWritten", "functions/api.TestTheGuideIsShownToEverybodyAndNothingElseIs", "shared/guide.TestAPageLoadsNothingAndItsLinksLeadToPages", "infra.TestMailsLinkTheGuideWhereItIsShown"}},
	{"T16", "a company has an address for urgent alerts from the beginning and never none; account admins are mailed at once, marked important, and not held until noon", []string{
		"infra/vaultctl.TestACompanyHasAnAddressForUrgentAlertsFromTheBeginningAndKeepsOne", "functions/api.TestTheLastAddressForUrgentAlertsStays",
		"functions/report.TestAlertIsMailedAtOnceThenQuietUntilItChangesAndWhenItIsOver", "functions/report.TestAlertWaitsForAReceiver", "shared/report.TestUrgentMailSaysSoAndNamesItsThreads",
		"infra.TestTroubleIsLookedForEveryFiveMinutes"}},
	{"T17", "the address that WeCom saw, or ours if it named none", []string{"shared/report.TestAnAddressThatIsNotTrustedIsNamed"}},
	{"T18", "the key versions seen and held and how many messages; attachments have a clock of their own", []string{
		"shared/report.TestAMissingKeyIsToldWithItsVersionsItsMessagesAndTheAttachmentsClock", "functions/watch.TestSetAsideItemsHaveTheCauseOfTheirReason"}},
	{"T19", "the end of the service, whose date is entered because no API tells it, is told 30, 14, 7 and 1 days before", []string{
		"functions/watch.TestTheEndOfTheServiceIsToldThirtyFourteenSevenAndOneDayBefore", "functions/watch.TestEachTroubleHasItsCauseAndItsMoment"}},
	{"T20", "the account's state is the whole company's: at noon to who subscribes, at once to account admins", []string{
		"shared/receivers.TestTheAccountsStateGoesToTheWholeCompanysReceiversAlone", "functions/report.TestTheDaysStateOfTheAccountGoesToSubscribersAtNoon"}},
	{"T21", "who never had a number is not said to have lost one, and is known by the address", []string{"shared/report.TestAUserWhoNeverHadANumberIsNotSaidToHaveLostOne"}},
	{"T22", "neither number nor address any more: each day while it lasts", []string{
		"shared/report.TestTheThreeRulesOfMissingEmail", "functions/report.TestUsersWithoutMobileWhoseEmailWentAreReportedAndThoseWhoseEmailChangedAreTold"}},
	{"T23", "no number and another address: once, the user too", []string{
		"shared/report.TestTheThreeRulesOfMissingEmail", "functions/report.TestUsersWithoutMobileWhoseEmailWentAreReportedAndThoseWhoseEmailChangedAreTold", "functions/report.TestAChangeOfEmailThatIsKnownLateIsToldOnce"}},
	{"T24", "number lost and never an address: each day while it lasts", []string{
		"shared/report.TestTheThreeRulesOfMissingEmail", "functions/report.TestUsersWithoutMobileWhoseEmailWentAreReportedAndThoseWhoseEmailChangedAreTold"}},
	{"T25", "a central mailbox for alerts gets the copies instead of the control mailbox", []string{"shared/receivers.TestCopiesGoToTheAlertMailboxInsteadOfTheControlMailbox"}},
	{"T26", "heads get the departments of the role and everything below; without a readable address they are unreachable, told to operations, and stay editable", []string{
		"shared/receivers.TestHeadOfDepartmentGetsTheThreeDefaultsAtWeComsEmailForTheDepartmentsOfTheRoleAlone", "shared/receivers.TestAHeadWithoutReportsIsMutedAndAHeadWithoutReadableEmailIsUnreachable",
		"functions/report.TestAHeadOfDepartmentIsMailedTheRowsBelowAndNoOthers", "functions/report.TestCoverageTellsWhatTheLedgerHolds", "shared/directory.TestHeadsFollowEitherOfWeComsTwoWords"}},
	{"T27", "what was edited of a head wins over the reading and returns with the role; reports begin at the next noon", []string{
		"shared/receivers.TestAnEditedFieldWinsOverTheSyncAndTheOthersFollowWeCom", "shared/receivers.TestTheRowGoesWithTheRoleAndTheEditsReturnWithIt",
		"shared/receivers.TestReportsBeginWithTheNoonAfterAReceiverIsThere", "infra/vaultctl.TestAHeadIsEditedGivenBackAndNeverRemoved", "functions/api.TestAHeadFollowsWeComUntilEdited"}},
	{"T30", "a receiver has one department and sees everything below; the root is everything, under the company's name", []string{
		"shared/receivers.TestAReceiverOfADepartmentIsShownEverythingBelowAndTheRootEverything", "shared/receivers.TestNobodyIsMailedARowFromOutsideTheirScope",
		"functions/report.TestNobodyIsMailedARowFromOutsideTheirScopeWhateverBecomesOfTheDepartments",
		"infra/vaultctl.TestAReceiverIsAddedChangedAndRemovedFromTheShell", "functions/api.TestTheRootIsListedByTheCompanysName"}},
	{"T34", "one person in two roles at one address gets one mail with both scopes", []string{
		"shared/receivers.TestTwoRolesAtOneAddressAreOneMailWithTheUnionOfTheirScopes", "functions/report.TestOneAddressWithTwoRolesGetsOneMailWithBothDepartments",
		"functions/report.TestTwoProcessesAtOnceMailEachReceiverOnce"}},
	{"T35", "the address is WeCom's email, and never that of the mailbox product", []string{"functions/directory.TestTheMailboxProductsAddressIsNobodysEmail"}},
}

// withTheConsole are the promises of screens and of signing in, which come with the console.
var withTheConsole = map[string]string{
	"T28": "WeCom's own label on a screen", "T29": "signing in", "T31": "a sentence and a sample beside each box", "T32": "colours of a list", "T33": "the words beside them",
}

// leading is the promises that a test's comment begins with.
var leading = regexp.MustCompile(`^((?:[A-Z][0-9]+, )*[A-Z][0-9]+): `)

func TestEachPromiseOfTheReportsHasTestsThatShowIt(t *testing.T) {
	there := map[string][]string{} // the tests, each with the promises that its comment names
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !s.test || !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			name := s.dir + "." + f.Name.Name
			there[name] = []string{}
			if named := leading.FindStringSubmatch(strings.ReplaceAll(f.Doc.Text(), "\n", " ")); named != nil {
				there[name] = strings.Split(named[1], ", ")
			}
		}
	}
	listed := map[string]promise{}
	for _, p := range promises {
		if _, twice := listed[p.id]; twice || len(p.tests) == 0 || p.what == "" {
			t.Errorf("%s is listed twice, or without a test or a word", p.id)
		}
		listed[p.id] = p
		for _, test := range p.tests {
			if there[test] == nil {
				t.Errorf("%s is to be shown by %s, and there is no such test", p.id, test)
			}
		}
	}
	for n := 1; n <= 35; n++ {
		id := fmt.Sprint("T", n)
		if _, has := listed[id]; has == (withTheConsole[id] != "") {
			t.Errorf("%s has to have tests, or to wait for the console", id)
		}
	}
	for test, ids := range there {
		for _, id := range ids {
			if strings.HasPrefix(id, "T") && !slices.Contains(listed[id].tests, test) {
				t.Errorf("%s says that it shows %s, and the list does not name it", test, id)
			}
		}
	}
}

// T14: the same members are asked about again well within the hour in which a refusal is to be told.
func TestRefusalsAreLookedForMoreThanOnceAnHour(t *testing.T) {
	often(t, "ConsentFunction", 30*time.Minute)
}

// T16: trouble that nobody has noticed in passing is noticed by the watch.
func TestTroubleIsLookedForEveryFiveMinutes(t *testing.T) {
	often(t, "WatchFunction", 5*time.Minute)
}

func often(t *testing.T, function string, most time.Duration) {
	t.Helper()
	f, ok := load(t, nil).Function(function)
	if !ok || len(f.Schedules) != 1 {
		t.Fatalf("%s has %d schedules", function, len(f.Schedules))
	}
	var n int
	var unit string
	if _, err := fmt.Sscanf(strings.NewReplacer("(", " ", ")", "").Replace(f.Schedules[0].Expression), "rate %d %s", &n, &unit); err != nil {
		t.Fatalf("%s: %s: %v", function, f.Schedules[0].Expression, err)
	}
	every := time.Duration(n) * map[string]time.Duration{"minute": time.Minute, "minutes": time.Minute, "hour": time.Hour, "hours": time.Hour}[unit]
	if every <= 0 || every > most {
		t.Errorf("%s runs every %s, and is to run every %s", function, every, most)
	}
}
