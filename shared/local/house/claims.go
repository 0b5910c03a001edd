package house

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// EndClaims lets the claims on reports, mails and messages in WeCom run out. A function that is killed leaves one for some minutes of real time, which nobody who
// plays a company wants to wait for; it is for when nobody is at work, and none is held.
func (h *House) EndClaims(ctx context.Context) error {
	client := dynamodb.NewFromConfig(h.Config(Operator))
	table := h.Template.Outputs["ControlTable"]
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{
		TableName: &table, ConsistentRead: aws.Bool(true), FilterExpression: aws.String("(begins_with(pk, :run) OR begins_with(pk, :mail) OR begins_with(pk, :telling)) AND #until > :past"),
		ExpressionAttributeNames:  map[string]string{"#until": "until"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":run": text("run#"), ":mail": text("mail#"), ":telling": text("telling#"), ":past": text(longAgo)},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("look for claims: %w", err)
		}
		for _, it := range page.Items {
			_, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName: &table, Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]}, UpdateExpression: aws.String("SET #until = :past"),
				ConditionExpression:       aws.String("#until = :until"),
				ExpressionAttributeNames:  map[string]string{"#until": "until"},
				ExpressionAttributeValues: map[string]types.AttributeValue{":until": it["until"], ":past": text(longAgo)},
			})
			var changed *types.ConditionalCheckFailedException
			if err != nil && !errors.As(err, &changed) {
				return fmt.Errorf("let a claim run out: %w", err)
			}
		}
	}
	return nil
}

// longAgo is before any claim's end.
const longAgo = "2000-01-01T00:00:00.000Z"
